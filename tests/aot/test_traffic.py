"""Bytes of small programs, counted by hand."""

from speccascade.aot import traffic

# A loop of 3 turns over a stack of layers, a branch and a collective.
_TEXT = """
%anew (r0: bf16[3,8,128]) -> bf16[3,8,128] {
  %r0 = bf16[3,8,128]{2,1,0:T(16,128)(2,1)} parameter(0)
  ROOT %rc = bf16[3,8,128]{2,1,0:T(8,128)(2,1)} copy(%r0)
}

%layer (p0: bf16[3,8,128], p1: s32[], p2: bf16[8,128]) -> bf16[8,128] {
  %p0 = bf16[3,8,128]{2,1,0} parameter(0)
  %p1 = s32[] parameter(1)
  %z = s32[] constant(0)
  %f = bf16[3,8,128]{2,1,0} fusion(%p0), kind=kLoop, calls=%anew
  %s = bf16[1,8,128]{2,1,0} dynamic-slice(%f, %p1, %z, %z), dynamic_slice_sizes={1,8,128}
  %b = bf16[8,128]{1,0} bitcast(%s)
  %p2 = bf16[8,128]{1,0} parameter(2)
  ROOT %m = bf16[8,128]{1,0} multiply(%b, %p2)
}

%put (q0: bf16[3,8,128], q1: bf16[1,8,128], q2: s32[]) -> bf16[3,8,128] {
  %q0 = bf16[3,8,128]{2,1,0} parameter(0)
  %q1 = bf16[1,8,128]{2,1,0} parameter(1)
  %q2 = s32[] parameter(2)
  %z = s32[] constant(0)
  ROOT %u = bf16[3,8,128]{2,1,0} dynamic-update-slice(%q0, %q1, %q2, %z, %z)
}

%outer (o0: bf16[3,8,128], o1: s32[], o2: bf16[8,128]) -> bf16[8,128] {
  %o0 = bf16[3,8,128]{2,1,0} parameter(0)
  %o1 = s32[] parameter(1)
  %o2 = bf16[8,128]{1,0} parameter(2)
  ROOT %n = bf16[8,128]{1,0} fusion(%o0, %o1, %o2), kind=kLoop, calls=%layer
}

%big (g: bf16[8,128]) -> bf16[8,128] {
  %g = bf16[8,128]{1,0} parameter(0)
  ROOT %c = bf16[8,128]{1,0} copy(%g)
}

%small (h: bf16[8,128]) -> bf16[8,128] {
  ROOT %h = bf16[8,128]{1,0} parameter(0)
}

%body (t: (s32[], bf16[3,8,128], bf16[8,128])) -> (s32[], bf16[3,8,128], bf16[8,128]) {
  %t = (s32[], bf16[3,8,128]{2,1,0}, bf16[8,128]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  %w = bf16[3,8,128]{2,1,0} get-tuple-element(%t), index=1
  %x = bf16[8,128]{1,0} get-tuple-element(%t), index=2
  %y = bf16[8,128]{1,0} fusion(%w, %i, %x), kind=kLoop, calls=%outer
  %v = bf16[1,8,128]{2,1,0} bitcast(%y)
  %k = bf16[3,8,128]{2,1,0} fusion(%w, %v, %i), kind=kLoop, calls=%put
  ROOT %r = (s32[], bf16[3,8,128]{2,1,0}, bf16[8,128]{1,0}) tuple(%i, %k, %y)
}

%cond (d: (s32[], bf16[3,8,128], bf16[8,128])) -> pred[] {
  %d = (s32[], bf16[3,8,128]{2,1,0}, bf16[8,128]{1,0}) parameter(0)
  %j = s32[] get-tuple-element(%d), index=0
  %n = s32[] constant(3)
  ROOT %l = pred[] compare(%j, %n), direction=LT
}

ENTRY %main (a: bf16[3,8,128], b: bf16[8,128], e: s32[]) -> bf16[8,128] {
  %a = bf16[3,8,128]{2,1,0} parameter(0)
  %b = bf16[8,128]{1,0} parameter(1)
  %e = s32[] parameter(2)
  %s0 = (s32[], bf16[3,8,128]{2,1,0}, bf16[8,128]{1,0}) tuple(%e, %a, %b)
  %loop = (s32[], bf16[3,8,128]{2,1,0}, bf16[8,128]{1,0}) while(%s0), condition=%cond, body=%body
  %x = bf16[8,128]{1,0} get-tuple-element(%loop), index=2
  %f = bf16[8,128]{1,0} conditional(%e, %x, %x), branch_computations={%small, %big}
  ROOT %g = bf16[8,128]{1,0} all-reduce(%f), replica_groups={}, to_apply=%small
}
"""  # noqa: E501
_LAYER = 2 * 8 * 128


def test_slices_updates_loops_and_branches():
  program = traffic.Program(_TEXT)
  # A turn: the layer read and x, y written; y read, and a layer of the stack
  # written; the index, four bytes each time.
  turn = (_LAYER + 4 + _LAYER) + _LAYER + (_LAYER + 4) + _LAYER
  assert program.of('body').hbm == turn
  (loop,) = program.loops('main')
  assert program.module.trips(loop) == 3
  # Of the branches the copy; the reduction reads and writes.
  whole = program.of('main')
  assert whole.hbm == 3 * turn + 2 * _LAYER + 2 * _LAYER
  assert whole.numbers == {'all-reduce': 1}
  assert whole.collectives == {'all-reduce': _LAYER}


def test_what_is_in_fast_memory_is_free():
  fast = _TEXT.replace('%y = bf16[8,128]{1,0} ', '%y = bf16[8,128]{1,0:S(1)} ')
  slow = traffic.Program(_TEXT).of('body').hbm
  assert traffic.Program(fast).of('body').hbm == slow - _LAYER


def test_copies_and_transfers_are_found():
  program = traffic.Program(_TEXT)
  assert program.copies(_LAYER, 'main') == ['c: bf16(8, 128)']
  assert program.copies(_LAYER + 1, 'main') == []
  assert program.copies(1, 'body') == []
  assert program.host_transfers() == []
  told = _TEXT.replace('%k = bf16', '%s9 = token[] send(%x)\n  %k = bf16')
  assert traffic.Program(told).host_transfers() == ['s9']


def _entry(parameters, root, more=''):
  """Traffic of a program of one instruction."""
  given = '\n'.join(
    f'  %p{i} = {shape} parameter({i})' for i, shape in enumerate(parameters)
  )
  text = (
    f'{more}\nENTRY %main () -> f32[] {{\n{given}\n  ROOT %r = {root}\n}}\n'
  )
  return traffic.Program(text).of('main')


_HBM, _FAST = '{1,0:T(8,128)}', '{1,0:T(8,128)S(1)}'


def test_a_slice_is_read_where_it_lies_and_written_where_it_goes():
  part = 4 * 8 * 128

  def moved(source, made):
    root = f'f32[8,128]{made} slice(%p0), slice={{[8:16], [0:128]}}'
    return _entry([f'f32[64,128]{source}'], root).hbm

  assert moved(_HBM, _HBM) == 2 * part
  assert moved(_HBM, _FAST) == moved(_FAST, _HBM) == part
  assert moved(_FAST, _FAST) == 0

  def updated(target, update):
    root = f'f32[64,128]{target} dynamic-update-slice(%p0, %p1, %p2, %p2)'
    given = f'f32[64,128]{target}', f'f32[8,128]{update}', 's32[]'
    return _entry(given, root).hbm

  assert updated(_HBM, _HBM) == 2 * part
  assert updated(_HBM, _FAST) == updated(_FAST, _HBM) == part


_PUT = """
%put (q0: f32[64,128], q1: f32[8,128], q2: s32[]) -> (f32[64,128], f32[8,128]) {
  %q0 = f32[64,128]{1,0} parameter(0)
  %q1 = f32[8,128]{1,0} parameter(1)
  %q2 = s32[] parameter(2)
  %e = f32[8,128]{1,0} exponential(%q1)
  %u = f32[64,128]{1,0} dynamic-update-slice(%q0, %e, %q2, %q2)
  %b = f32[64,128]{1,0} bitcast(%u)
  MORE
}
"""


def _put(root):
  made = 'f32[64,128]{1,0}, f32[8,128]{1,0}'
  return _entry(
    ['f32[64,128]{1,0}', 'f32[8,128]{1,0}', 's32[]'],
    f'({made}) fusion(%p0, %p1, %p2), kind=kLoop, calls=%put',
    _PUT.replace('MORE', root.replace('MADE', made)),
  ).hbm


def test_of_several_results_an_update_counts_as_such():
  part = 4 * 8 * 128
  # The update and what else is returned are written, of what is given is read.
  assert _put('ROOT %t = (MADE) tuple(%b, %e)') == part + 4 + 2 * part
  sliced = (
    '%s = f32[8,128]{1,0} slice(%b), slice={[0:8], [0:128]}\n'
    '  ROOT %t = (MADE) tuple(%b, %s)'
  )
  assert _put(sliced) == part + part + 4 + 2 * part  # And read again.


def test_a_collective_of_several_arrays_makes_them_all():
  small, large = 'f32[2]{0}', 'f32[1024]{0}'
  root = f'({small}, {large}) all-reduce(%p0, %p1), replica_groups={{}}'
  found = _entry([small, large], root)
  assert found.collectives == {'all-reduce': 4 * 1026}
  assert found.hbm == 2 * 4 * 1026
  # Of one that is started, (what it was given, what it makes).
  root = f'({small}, {large}) all-gather-start(%p0), replica_groups={{}}'
  found = _entry([small], root)
  assert found.collectives == {'all-gather': 4 * 1024}
  assert found.hbm == 4 * 1026


def test_a_choice_by_a_flag_has_two_branches():
  more = """
%one (o: f32[1024]) -> f32[1024] {
  ROOT %o = f32[1024]{0} parameter(0)
}

%two (w: f32[1024]) -> f32[1024] {
  %w = f32[1024]{0} parameter(0)
  ROOT %c = f32[1024]{0} copy(%w)
}
"""
  root = (
    'f32[1024]{0} conditional(%p0, %p1, %p1), true_computation=%one, '
    'false_computation=%two'
  )
  assert _entry(['pred[]', 'f32[1024]{0}'], root, more).hbm == 2 * 4 * 1024
