// The stream parsers on CodeMirror's own stream: which word has which style.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type StreamParser, StringStream } from '@codemirror/language';

import { diffParser } from '../src/diff.ts';
import { readHead } from '../src/head.ts';
import { vqueryParser } from '../src/vquery.ts';

function styles<State>(parser: StreamParser<State>, source: string): [string, string][] {
  const found: [string, string][] = [];
  const state = parser.startState!(4);
  for (const text of source.split('\n')) {
    const stream = new StringStream(text, 4, 4);
    while (!stream.eol()) {
      stream.start = stream.pos;
      const style = parser.token(stream, state);
      assert.ok(stream.pos > stream.start, `no way on in ${text} at ${stream.pos}`);
      if (style) {
        found.push([stream.current(), style]);
      }
    }
  }
  return found;
}

test('the first line: magic, options, references, values', () => {
  const parser = { startState: () => ({}), token: readHead } as unknown as StreamParser<object>;
  assert.deepEqual(styles(parser, '%%fuse --explain {x} $y.z "a b" numpy,pandas'), [
    ['%%fuse', 'meta'], ['--explain', 'attributeName'], ['{x}', 'variableName.special'], ['$y.z', 'variableName.special'],
    ['"a b"', 'string'], ['numpy,pandas', 'string']
  ]);
});

test('a video query', () => {
  const found = new Map(styles(vqueryParser, '%%vquery cam.mp4\nclass A(Query):\n    where = car.color == "red" # now\n'));
  assert.equal(found.get('class'), 'keyword');
  assert.equal(found.get('where'), 'keyword');
  assert.equal(found.get('color'), 'propertyName');
  assert.equal(found.get('"red"'), 'string');
  assert.equal(found.get('# now'), 'comment');
});

test('SQL with DIFF', () => {
  const found = new Map(styles(diffParser, "%%diff\nSELECT * FROM DIFF a, b ON x COMPARE BY risk_ratio(COUNT(*)) -- it's"));
  assert.equal(found.get('DIFF'), 'keyword');
  assert.equal(found.get('risk_ratio'), 'variableName.standard');
  assert.equal(found.get("-- it's"), 'comment');
});

test('no text stops a parser', () => {
  const letters = 'aZ_09 %"\'{}$.:#-/*(),=<>\n\\é\u2028'.split('');
  let seed = 7;
  const next = () => (seed = (seed * 48271) % 2147483647);
  for (let round = 0; round < 300; round += 1) {
    const text = Array.from({ length: next() % 60 }, () => letters[next() % letters.length]).join('');
    styles(vqueryParser, `%%vquery x\n${text}`);
    styles(diffParser, text);
  }
});
