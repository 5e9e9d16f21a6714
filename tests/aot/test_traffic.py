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
