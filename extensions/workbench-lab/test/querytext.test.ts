import assert from 'node:assert/strict';
import { test } from 'node:test';

import { cells, freePath, isVideo, notebook, word } from '../src/querytext.ts';

test('what is a video goes by its ending', () => {
  assert.deepEqual(['a.mp4', 'b.MOV', 'c.mpeg', 'd.mp4.txt', 'mp4', 'e.ts'].map(isVideo),
    [true, true, true, false, false, false]);
});

test('a name is one word of the line, whatever is in it', () => {
  const names = ['cam.mp4', 'gate 1.mp4', '{cam}.mp4', '$x.mp4', 'a"b\\c.mp4', '-x.mp4', 'Straße.mp4', 'a#b.mp4'];
  assert.deepEqual(names.map(word), ['cam.mp4', '"gate 1.mp4"', '{{cam}}.mp4', '$$x.mp4', '"a\\"b\\\\c.mp4"', '"-x.mp4"',
    'Straße.mp4', '"a#b.mp4"']);
});

test('the notebook has two cells: load, and a query of that file', () => {
  const [load, query] = cells('gate 1.mp4');
  assert.equal(load, '%load_ext workbench');
  assert.match(query, /^%%vquery "gate 1\.mp4" --limit 20 -o found\nclass Found\(Query\):\n {4}person: Person\n/);
  const made = notebook('a.mp4', { name: 'py', display_name: 'Py' }) as any;
  assert.equal(made.cells.length, 2);
  assert.deepEqual(made.metadata.kernelspec, { name: 'py', display_name: 'Py', language: 'python' });
  assert.deepEqual((notebook('a.mp4', null) as any).metadata, {});
});

test('no file is written over', () => {
  assert.equal(freePath('in/cam.1.mp4', []), 'in/cam.1 query.ipynb');
  assert.equal(freePath('cam.mp4', ['CAM query.ipynb', 'cam query 2.ipynb']), 'cam query 3.ipynb');
});
