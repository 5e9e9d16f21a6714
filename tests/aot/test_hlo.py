import pytest

from speccascade.aot import hlo

_TEXT = """HloModule jit_f, is_scheduled=true

%fused (param_0: f32[4,8,128], param_1: s32[]) -> f32[8,128] {
  %param_0 = f32[4,8,128]{2,1,0:T(8,128)} parameter(0)
  %param_1 = s32[]{:T(128)} parameter(1)
  %zero = s32[]{:T(128)} constant(0)
  %slice = f32[1,8,128]{2,1,0:T(8,128)} dynamic-slice(%param_0, %param_1, %zero, %zero), dynamic_slice_sizes={1,8,128}
  ROOT %out = f32[8,128]{1,0:T(8,128)S(1)} bitcast(%slice)
}

%body (p: (s32[], f32[4,8,128])) -> (s32[], f32[4,8,128]) {
  %p = (s32[]{:T(128)}, /*index=1*/f32[4,8,128]{2,1,0:T(8,128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  %x = f32[4,8,128]{2,1,0:T(8,128)} get-tuple-element(%p), index=1
  %y = f32[8,128]{1,0:T(8,128)S(1)} fusion(%x, %i), kind=kLoop, calls=%fused, metadata={op_name="jit(f)/while/body/slice"}
  ROOT %t = (s32[]{:T(128)}, f32[4,8,128]{2,1,0:T(8,128)}) tuple(%i, %x)
}

%cond (q: (s32[], f32[4,8,128])) -> pred[] {
  %q = (s32[]{:T(128)}, f32[4,8,128]{2,1,0:T(8,128)}) parameter(0)
  %j = s32[]{:T(128)} get-tuple-element(%q), index=0
  %bound = s32[]{:T(128)} constant(4)
  ROOT %less = pred[]{:T(512)} compare(%j, %bound), direction=LT
}

ENTRY %main (a: f32[4,8,128]) -> f32[4,8,128] {
  %a = f32[4,8,128]{2,1,0:T(8,128)} parameter(0)
  %start = s32[]{:T(128)} constant(0)
  %given = (s32[]{:T(128)}, f32[4,8,128]{2,1,0:T(8,128)}) tuple(%start, %a)
  %loop = (s32[]{:T(128)}, f32[4,8,128]{2,1,0:T(8,128)}) while(%given), condition=%cond, body=%body
  ROOT %r = f32[4,8,128]{2,1,0:T(8,128)} get-tuple-element(%loop), index=1
}
"""  # noqa: E501


def test_a_program_is_its_computations():
  module = hlo.parse(_TEXT)
  assert module.entry == 'main'
  assert set(module.computations) == {'fused', 'body', 'cond', 'main'}
  fusion = module.computations['body']['y']
  assert fusion.op == 'fusion'
  assert fusion.operands == ('x', 'i')
  assert fusion.called == {'calls': ['fused']}
  assert fusion.source == 'jit(f)/while/body/slice'
  (shape,) = fusion.shapes
  assert (shape.dtype, shape.dims, shape.space) == ('f32', (8, 128), 1)
  assert shape.nbytes == 4 * 8 * 128
  assert module.root('fused').op == 'bitcast'
  tuple_ = module.computations['body']['t']
  assert [x.dims for x in tuple_.shapes] == [(), (4, 8, 128)]


def test_trips_of_a_loop():
  module = hlo.parse(_TEXT)
  loop = module.computations['main']['loop']
  assert module.counts(loop)
  assert module.trips(loop) == 4
  dynamic = hlo.parse(_TEXT.replace('constant(4)', 'negate(%j)'))
  loop = dynamic.computations['main']['loop']
  assert dynamic.counts(loop)
  assert dynamic.trips(loop) is None
  other = hlo.parse(_TEXT.replace('direction=LT', 'direction=NE'))
  assert not other.counts(other.computations['main']['loop'])


@pytest.mark.parametrize(
  ('dtype', 'nbytes'),
  [
    ('pred', 6),
    ('bf16', 12),
    ('s32', 24),
    ('f64', 48),
    ('f8e4m3fn', 6),
    ('s4', 3),
  ],
)
def test_bytes_of_a_type(dtype, nbytes):
  assert hlo.Shape(dtype, (2, 3), 0).nbytes == nbytes


def test_a_text_without_an_entry():
  with pytest.raises(ValueError, match='has no entry computation'):
    hlo.parse('HloModule jit_f')
