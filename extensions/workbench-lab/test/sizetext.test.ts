import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bytes, describe } from '../src/sizetext.ts';

function asset(kind: string, size = 1024, included = true) {
  return { kind, name: 'x', cell: 0, bytes: size, included };
}

test('bytes read as on the Python side', () => {
  const said = [0, 999, 1023, 1024, 1536, 102_400, 1_048_576, 1_690_000, 3 * 2 ** 30, 5e15].map(bytes);
  assert.deepEqual(said, ['0 B', '999 B', '1023 B', '1 KiB', '1.5 KiB', '100 KiB', '1 MiB', '1.61 MiB', '3 GiB', '4550 TiB']);
});

test('what is in a report and what is left out', () => {
  const assets = [asset('clip'), asset('clip', 2 ** 20, false), asset('clip', 2 ** 20, false), asset('plot'), asset('plot'),
    asset('script')];
  assert.deepEqual(describe({ bytes: 2048, assets }, '20MiB'),
    ['About 2 KiB: 1 clip, 2 plots.', 'Left out: 2 clips (2 MiB) over 20MiB.']);
  assert.deepEqual(describe({ bytes: 10, assets: [] }, '1MiB'), ['About 10 B.', '']);
});
