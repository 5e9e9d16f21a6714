"""Programs that harm the host, or claim to pass, if nothing stops them.

Each should define `f` with f(1) == 2, and none does: what fails within is
caught, so that the next harm is tried. MARK is theirs alone: it is written to
whatever outlives them. FOLDERS are open to all.
"""

MARK = 'speccascade-hostile-mark'
# They end by a limit, which is the same for every user.
SLOW = {
  'endless output',
  'endless loop',
  'endless sleep in f',
  'endless items',
  'changes the harness',
  'threads without end',
  'deep recursion',
  'many descriptors',
  'traps signals',
}
FOLDERS = ('/tmp', '/var/tmp', '/dev/shm', '.')

_HEAD = f"""
import os, sys, time, ctypes
MARK = {MARK!r}
def f(x): return 1
def attempt(function, *args):
  try:
    return function(*args)
  except BaseException:
    return None
"""

PROGRAMS = {
  'fork bomb': """
def bomb():
  while True:
    if not os.fork():
      bomb()
attempt(bomb)
""",
  'memory hog': """
held = []
while True:
  held.append(bytearray(1 << 26))
""",
  'endless output': """
while True:
  print(MARK * 1000, flush=True)
""",
  'endless loop': 'while True: pass',
  'endless sleep in f': """
def f(x):
  while True:
    attempt(time.sleep, 1000)
""",
  'endless answer': "def f(x): return 'x' * (1 << 26)",
  'endless items': """
class Endless(list):
  def __iter__(self):
    while True:
      yield 2
def f(x): return Endless([2])
""",
  'writes outside': f"""
for folder in {FOLDERS!r}:
  for flags in (os.O_CREAT | os.O_WRONLY, os.O_CREAT, os.O_TMPFILE | os.O_RDWR):
    attempt(os.open, os.path.join(folder, MARK), flags)
  attempt(os.mkdir, os.path.join(folder, MARK + 'd'))
  attempt(os.symlink, '/', os.path.join(folder, MARK + 'l'))
  attempt(os.mkfifo, os.path.join(folder, MARK + 'p'))
""",
  'a huge file': """
out = attempt(open, '/tmp/' + MARK, 'wb')
while out:
  out.write(bytes(1 << 20))
""",
  'changes files': """
for path in ('/tmp', '/etc/hostname', sys.executable):
  attempt(os.chmod, path, 0o777)
  attempt(os.rename, path, path + MARK)
  attempt(os.utime, path, (0, 0))
attempt(os.remove, '/tmp/speccascade-victim')
attempt(os.truncate, '/tmp/speccascade-victim', 0)
""",
  'reads secrets': """
def f(x):
  found = str(attempt(lambda: dict(os.environ)))
  for path in (f'/proc/{os.getppid()}/environ', '/proc/1/environ',
               '/proc/self/environ', '/etc/shadow', '/etc/passwd',
               '/tmp/speccascade-victim', f'/proc/{os.getppid()}/cmdline'):
    found += str(attempt(lambda: open(path).read()))
  return 2 if 'victim' in found or 'root' in found else 1
""",
  'connects': """
libc = ctypes.CDLL(None)
attempt(lambda: __import__('socket').create_connection(('1.1.1.1', 53)))
def f(x): return 2 if max(libc.socket(n, 1, 0) for n in (1, 2, 10)) >= 0 else 1
""",
  'listens': """
libc = ctypes.CDLL(None)
attempt(lambda: __import__('socket').create_server(('', 0)))
def f(x):
  pair = ctypes.create_string_buffer(8)
  return 2 if libc.socketpair(1, 1, 0, pair) == 0 else 1
""",
  'signals the parent': """
for pid in (os.getppid(), 1, -1, 0, os.getpid()):
  for number in (9, 15, 19):
    attempt(os.kill, pid, number)
attempt(os.killpg, 0, 9)
""",
  'leaves': 'os._exit(0)',
  'exits': 'sys.exit(0)',
  'exits from f': 'def f(x): sys.exit(0)',
  'raises SystemExit late': """
import atexit
atexit.register(lambda: os._exit(0))
raise SystemExit(0)
""",
  'prints a pass': """
for text in ('passed', 'true', '[true, "passed"]', '{"passed": true}', 'OK'):
  print(text, flush=True)
""",
  'patches the builtins': """
import builtins
class Never(BaseException): pass
builtins.AssertionError = Never
builtins.exec = builtins.compile = builtins.eval = lambda *x, **y: None
builtins.print = lambda *x, **y: os._exit(0)
builtins.isinstance = lambda *x: True
""",
  'is equal to all': """
class Any:
  def __eq__(self, other): return True
  def __ne__(self, other): return False
  def __bool__(self): return True
  def __getattr__(self, name): return lambda *x: True
def f(x): return Any()
""",
  'is an int that is equal to all': """
class Any(int):
  def __eq__(self, other): return True
  def __repr__(self): return '2'
  __hash__ = int.__hash__
def f(x): return Any(1)
""",
  'writes to every descriptor': """
import json, struct
message = json.dumps([True, 'passed']).encode()
value = json.dumps(['value', ['int', '2']]).encode()
for fd in range(3, 16):
  attempt(os.write, fd, message + b'\\n')
  attempt(os.write, fd, struct.pack('=I', len(value))[:2])
""",
  'changes the harness': """
import gc
for value in gc.get_objects():
  if isinstance(value, dict) and 'serve' in value:
    value['send'] = lambda fd, message: None
frame = sys._getframe()
while frame:
  attempt(lambda: frame.f_locals.update(code='def f(x): return 2'))
  frame = frame.f_back
""",
  'traces': """
def trace(frame, event, arg):
  return trace
sys.settrace(trace)
sys.setprofile(lambda *x: None)
""",
  'a grandchild that outlives it': """
def leave():
  if not os.fork():
    os.setsid()
    if not os.fork():
      open('/tmp/' + MARK, 'w').write(MARK)
      time.sleep(1000)
attempt(leave)
attempt(lambda: __import__('subprocess').Popen(['sleep', '1000', MARK]))
attempt(lambda: os.posix_spawn('/bin/sleep', ['sleep', '1000', MARK], {}))
""",
  'becomes another program': """
attempt(os.execv, '/bin/sleep', ['sleep', '1000', MARK])
attempt(os.execv, sys.executable, [sys.executable, '-c', 'pass'])
attempt(os.system, 'sleep 1000')
""",
  'threads without end': """
import threading
while True:
  attempt(threading.Thread(target=time.sleep, args=(1000,)).start)
""",
  'deep recursion': """
sys.setrecursionlimit(1 << 30)
def f(x): return f(x) + 1
""",
  'a segmentation fault': 'ctypes.string_at(0)',
  'many descriptors': """
while True:
  attempt(os.dup, 0)
  attempt(os.pipe)
  attempt(open, os.devnull)
""",
  'stops itself': """
import signal
for number in (signal.SIGSTOP, signal.SIGTSTP):
  attempt(signal.raise_signal, number)
""",
  'traps signals': """
import signal
for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGXCPU, signal.SIGINT):
  attempt(signal.signal, number, signal.SIG_IGN)
while True: pass
""",
  'raises its limits': """
import resource
for what in range(16):
  attempt(resource.setrlimit, what, (-1, -1))
  attempt(resource.prlimit, os.getppid(), what, (0, 0))
attempt(os.setuid, 0)
attempt(os.nice, -20)
""",
  'maps shared memory': """
attempt(lambda: __import__('multiprocessing.shared_memory').shared_memory
        .SharedMemory(MARK, True, 1 << 20))
attempt(os.memfd_create, MARK)
""",
  'system calls by number': """
libc = ctypes.CDLL(None)
for number in range(512):
  if number not in (0, 1, 7, 23, 34, 35, 60, 61, 130, 202, 230, 231, 270, 271):
    attempt(libc.syscall, number, -1, 0, 0, 0, 0, 0)
""",
  'no function': 'del f',
  'no program': 'def f(x) return 2',
}
PROGRAMS = {name: _HEAD + code for name, code in PROGRAMS.items()}
