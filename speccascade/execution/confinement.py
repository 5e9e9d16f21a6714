"""What a process gives up before it runs code that is not trusted.

Limits of resources, another user, no new privileges, a filter of system calls
that names those that are allowed, and no files but those of Python. It is for
the process itself and cannot be undone. Linux on x86-64 and arm64.

This module needs the standard library alone: it runs outside the package.

Sources: prctl(2), seccomp(2), landlock(7), bpf's struct sock_filter.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
import sysconfig

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_FILTER = 2  # SECCOMP_MODE_FILTER
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # The latter with EPERM.
_KILL = 0x80000000
_NOBODY = 65534
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

# (audit's name of the architecture, {system call: number}). No call starts or
# signals a process, makes a socket, or changes a file.
_CALLS = {
  'x86_64': (
    0xC000003E,
    dict(
      read=0, write=1, close=3, stat=4, fstat=5, lstat=6, poll=7, lseek=8,
      mmap=9, mprotect=10, munmap=11, brk=12, rt_sigaction=13,
      rt_sigprocmask=14, rt_sigreturn=15, pread64=17, readv=19,
      writev=20, access=21, select=23, sched_yield=24, mremap=25, madvise=28,
      dup=32, nanosleep=35, getpid=39, exit=60, uname=63, getcwd=79,
      chdir=80, readlink=89, gettimeofday=96, getrlimit=97, getrusage=98,
      sysinfo=99, times=100, getuid=102, getgid=104, geteuid=107, getegid=108,
      getppid=110, sigaltstack=131, arch_prctl=158, gettid=186, time=201,
      futex=202, sched_getaffinity=204, getdents64=217, set_tid_address=218,
      clock_gettime=228, clock_getres=229, clock_nanosleep=230, exit_group=231,
      newfstatat=262, readlinkat=267, faccessat=269, pselect6=270, ppoll=271,
      set_robust_list=273, getrandom=318, statx=332, rseq=334, faccessat2=439,
    ),
    dict(open=(2, 1), openat=(257, 2)),  # (number, argument of the flags)
  ),
  'aarch64': (
    0xC00000B7,
    dict(
      getcwd=17, dup=23, faccessat=48, chdir=49, close=57,
      getdents64=61, lseek=62, read=63, write=64, readv=65, writev=66,
      pread64=67, pselect6=72, ppoll=73, readlinkat=78, newfstatat=79, fstat=80,
      exit=93, exit_group=94, set_tid_address=96, futex=98, set_robust_list=99,
      nanosleep=101, clock_gettime=113, clock_getres=114, clock_nanosleep=115,
      sched_getaffinity=123, sched_yield=124, sigaltstack=132, rt_sigaction=134,
      rt_sigprocmask=135, rt_sigreturn=139, times=153, uname=160, getrusage=165,
      gettimeofday=169, getpid=172, getppid=173, getuid=174, geteuid=175,
      getgid=176, getegid=177, gettid=178, sysinfo=179, brk=214, munmap=215,
      mremap=216, mmap=222, mprotect=226, madvise=233, getrandom=278, statx=291,
      rseq=293, faccessat2=439,
    ),
    dict(openat=(56, 2)),
  ),
}  # fmt: skip

_LANDLOCK = dict(create=444, add=445, restrict=446)  # Of all architectures.
_READ = 1 << 2 | 1 << 3  # Files and folders.


def supported():
  """Returns '' if this system can confine, else what it lacks."""
  if sys.platform != 'linux':
    return f'Linux, not {sys.platform}'
  if platform.machine() not in _CALLS:
    return f'x86-64 or arm64, not {platform.machine()}'
  # Asked in vain for what takes effect; EFAULT says that it is there.
  libc = ctypes.CDLL(None, use_errno=True)
  if libc.prctl(_PR_SET_SECCOMP, _FILTER, 0, 0, 0) and ctypes.get_errno() != 14:
    return 'a kernel with seccomp filters'
  return ''


def die_with_parent():
  """Has this process killed once the thread that started it ends."""
  libc = ctypes.CDLL(None, use_errno=True)
  _check(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))


def confine(cpu_s, memory_bytes):
  """Gives up, for good, all that code that is not trusted must not have.

  Args:
    cpu_s: seconds of CPU time, after which the process is killed.
    memory_bytes: of address space.

  Returns:
    What is in force, in words: two means are there on some systems alone.

  Raises:
    OSError: something that is not optional failed.
  """
  libc = ctypes.CDLL(None, use_errno=True)
  die_with_parent()
  means = ['resource limits', 'system call filter']
  for what, value in (
    (resource.RLIMIT_CPU, cpu_s),
    (resource.RLIMIT_AS, memory_bytes),
    (resource.RLIMIT_FSIZE, 0),
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_NOFILE, 16),
    (resource.RLIMIT_NPROC, 0),
    (resource.RLIMIT_MEMLOCK, 0),
    (resource.RLIMIT_MSGQUEUE, 0),
  ):
    resource.setrlimit(what, (value, value))
  _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
  if _landlock(libc):
    means.append("no files but Python's")
  if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    means.append('user nobody')
    die_with_parent()  # Another user's process forgets it.
  _check(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
  _filter(libc)
  return means


def _check(failed):
  if failed:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def _landlock(libc):
  """Whether reading is confined to Python's own files, and writing to none."""
  version = libc.syscall(_LANDLOCK['create'], None, 0, 1)
  if version < 1:
    return False
  # Rights of the first version, and what later ones added to change files.
  handled = (1 << 13) - 1
  handled |= (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0)
  rules = ctypes.create_string_buffer(struct.pack('=Q', handled))
  rule_set = libc.syscall(_LANDLOCK['create'], rules, 8, 0)
  if rule_set < 0:
    return False
  paths = sysconfig.get_paths()
  for path in {
    paths['stdlib'],
    paths['platstdlib'],
    '/lib',
    '/lib64',
    '/usr/lib',
  }:
    if not os.path.isdir(path):
      continue
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = ctypes.create_string_buffer(struct.pack('=Qi', _READ, folder))
    _check(libc.syscall(_LANDLOCK['add'], rule_set, 1, rule, 0))
    os.close(folder)
  _check(libc.syscall(_LANDLOCK['restrict'], rule_set, 0))
  os.close(rule_set)
  return True


def _filter(libc):
  """Refuses all system calls but those of `_CALLS`, from here on."""
  architecture, calls, opens = _CALLS[platform.machine()]
  load, equal, any_bit, back = 0x20, 0x15, 0x45, 0x06
  code = [
    (load, 0, 0, 4),
    (equal, 1, 0, architecture),
    (back, 0, 0, _KILL),
    (load, 0, 0, 0),
  ]
  for number, argument in opens.values():
    code += [
      (equal, 0, 4, number),
      (load, 0, 0, 16 + 8 * argument),
      (any_bit, 0, 1, _WRITES),
      (back, 0, 0, _REFUSE),
      (back, 0, 0, _ALLOW),
    ]
  for number in calls.values():
    code += [(equal, 0, 1, number), (back, 0, 0, _ALLOW)]
  code.append((back, 0, 0, _REFUSE))
  packed = b''.join(struct.pack('=HBBI', *line) for line in code)
  lines = ctypes.create_string_buffer(packed)
  program = ctypes.create_string_buffer(
    struct.pack('@HP', len(code), ctypes.addressof(lines))
  )
  _check(libc.prctl(_PR_SET_SECCOMP, _FILTER, program, 0, 0))
