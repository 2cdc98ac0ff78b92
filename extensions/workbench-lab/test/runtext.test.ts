import assert from 'node:assert/strict';
import { test } from 'node:test';

import { caption, duration, hasEnded, type IRun, line, news, notebookOf, remark, share } from '../src/runtext.ts';

function run(values: Partial<IRun> = {}): IRun {
  return {
    run_id: 'a'.repeat(32), kind: 'vquery', title: 'cam.mp4', state: 'running', done: null, total: null, unit: '',
    eta_s: null, started: null, updated: null, ended: null, workers: 0, partial: false, message: '', kernel_id: '',
    notebook: '', cell_id: '', ...values
  };
}

/** A line, and that it can be broken between its parts only. */
function said(values: IRun): string {
  const parts = line(values).split(' · ');
  assert.ok(parts.every(part => !part.includes(' ')), line(values));
  return parts.join(' · ').replace(/\u00a0/g, ' ');
}

test('a line says count, percent, time left, workers, as far as they are known', () => {
  const half = run({ done: 1412, total: 2900, unit: 'frames', eta_s: 75.2, workers: 2 });
  assert.equal(said(half), 'running · 1,412 of 2,900 frames · 48 % · 1:15 min left · 2 workers');
  assert.equal(said(run()), 'running');
  assert.equal(said(run({ done: 12.34567, unit: 's', workers: 1 })), 'running · 12.35 s · 1 worker');
  assert.equal(said(run({ state: 'queued', done: 0, total: 0 })), 'queued');
});

test('100 % means done, and what has ended has a time instead', () => {
  assert.match(said(run({ done: 2999, total: 3000 })), / 99 %$/);
  const ended = run({ state: 'finished', done: 5, total: 9, started: 100, ended: 3825.4, eta_s: 3, workers: 4 });
  assert.equal(said(ended), 'finished · 5 of 9 · 1:02:05 h');
  assert.equal(said(run({ state: 'finished', done: 1900, total: 1900, unit: 'rows' })), 'finished · 1,900 rows');
  assert.equal(said(run({ state: 'finished', started: 100, ended: 100.2 })), 'finished · under 1 s');
  assert.equal(said(run({ state: 'lost', started: 1 })), 'lost');
});

test('durations', () => {
  const said = [-1, 0, 59.4, 59.6, 60, 3599.6, 3600, 90061].map(duration);
  assert.deepEqual(said, ['0 s', '0 s', '59 s', '1:00 min', '1:00 min', '1:00:00 h', '1:00:00 h', '25:01:01 h']);
});

test('what was lost says what to do', () => {
  assert.match(remark(run({ state: 'lost' })), /kernel is gone[.] Run the cell again/);
  assert.equal(remark(run({ state: 'lost', message: '1 worker lost' })), '1 worker lost');
  assert.equal(remark(run({ state: 'failed' })), '');
});

test('the share of what is done lies between 0 and 1, or is not known', () => {
  assert.equal(share(run({ done: 1, total: 4 })), 0.25);
  assert.equal(share(run({ done: 9, total: 4 })), 1);
  assert.equal(share(run({ done: -1, total: 4 })), 0);
  assert.equal(share(run({ done: 3 })), null);
  assert.equal(share(run({ state: 'finished' })), 1);
  assert.equal(share(run({ state: 'failed' })), 0);
  assert.equal(share(run({ state: 'cancelled', done: 1, total: 2 })), 0.5);
});

test('ends are told once, and not those of before the first look', () => {
  const [going, over] = [run(), run({ state: 'cancelled' })];
  assert.equal(news(null, [over]), '');
  assert.equal(news([going], [over]), 'cam.mp4 cancelled.');
  assert.equal(news([over], [over]), '');
  assert.equal(news([going], []), '');
  assert.equal(news([run({ title: '' })], [run({ title: '', state: 'lost' })]), 'vquery lost.');
  assert.deepEqual(['queued', 'running', 'finished', 'cancelled', 'failed', 'lost'].map(state => hasEnded(run({ state }))),
    [false, false, true, true, true, true]);
  assert.equal(caption([going, over, going]), 'Runs: 2 running');
  assert.equal(caption([over]), 'Runs');
});

test('the notebook of a run: its session first, then its path below the server’s folder', () => {
  const sessions = [{ path: 'new name.ipynb', kernelId: 'k1' }, { path: 'x.ipynb', kernelId: '' }];
  const of = (values: Partial<IRun>, root: string) => notebookOf(run(values), sessions, root);
  assert.equal(of({ kernel_id: 'k1', notebook: '/ada/old.ipynb' }, '/ada'), 'new name.ipynb');
  assert.equal(of({ notebook: '/ada/work/a b.ipynb' }, '/ada/'), 'work/a b.ipynb');
  assert.equal(of({ notebook: '/ada/work/a.ipynb' }, '~/work'), 'a.ipynb');
  assert.equal(of({ notebook: '/ada/work/a.ipynb' }, '~/wor'), null);
  assert.equal(of({ notebook: '/ada/work/a.ipynb' }, '~'), null);
  assert.equal(of({ notebook: '/adamant/a.ipynb' }, '/ada'), null);
  assert.equal(of({ notebook: 'C:\\me\\a.ipynb' }, 'C:\\me'), 'a.ipynb');
  assert.equal(of({ notebook: '/ada/console-1' }, '/ada'), null);
  assert.equal(of({}, ''), null);
});
