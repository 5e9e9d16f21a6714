"""Reads what TensorBoard would."""

import pathlib
import struct

from tensorboardX.proto import event_pb2


def parse(data):
  """The events of a file: a length, its checksum, an event, its checksum."""
  events = []
  while data:
    (size,) = struct.unpack('<Q', data[:8])
    events.append(event_pb2.Event.FromString(data[12 : 12 + size]))
    data = data[16 + size :]
  return events


def scalars(folder):
  """[(tag, step, value)] of the one file of a folder, in order."""
  (path,) = pathlib.Path(folder).glob('events.out.tfevents.*')
  return [
    (value.tag, event.step, value.simple_value)
    for event in parse(path.read_bytes())
    for value in event.summary.value
  ]
