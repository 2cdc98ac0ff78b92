/**
 * The panel of runs itself: records in, elements out. It knows neither the server nor the shell.
 */
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import { hasEnded, type IRun, line, news, remark, share } from './runtext';

export interface IActions {
  cancel(run: IRun): Promise<void>;
  clear(runs: IRun[]): Promise<void>;
  goTo(run: IRun): Promise<void>;
  hasPlace(run: IRun): boolean;
}

const EMPTY = 'No runs. What a magic or a call of Workbench works at is listed here, from all notebooks.';

function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  parent: HTMLElement,
  text = ''
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  parent.append(made);
  return made;
}

function button(text: string, parent: HTMLElement, press: () => void): HTMLButtonElement {
  const made = element('button', 'wb-runs-button', parent, text);
  made.type = 'button';
  made.addEventListener('click', press);
  return made;
}

/** Set what has changed only: a text that is written again takes a reader's selection away. */
function say(element: HTMLElement, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** One run's place in the list; it is kept as long as the run is listed, so that the focus stays in it. */
class Item {
  readonly node = document.createElement('li');

  constructor(
    private run: IRun,
    private readonly actions: IActions
  ) {
    this.node.className = 'wb-runs-item';
    const head = element('div', 'wb-runs-head', this.node);
    this.kind = element('span', 'wb-runs-kind', head);
    this.title = element('span', 'wb-runs-title', head);
    this.bar = element('progress', 'wb-runs-bar', this.node);
    this.text = element('div', 'wb-runs-text', this.node);
    this.message = element('div', 'wb-runs-message', this.node);
    const buttons = element('div', 'wb-runs-buttons', this.node);
    this.place = button('Go to cell', buttons, () => void this.actions.goTo(this.run));
    this.stop = button('Cancel', buttons, () => {
      this.asked = true;
      this.draw(this.run);
      void this.actions.cancel(this.run).then(() => this.draw(this.run));
    });
    this.draw(run);
  }

  draw(run: IRun): void {
    this.run = run;
    const [ended, part, name] = [hasEnded(run), share(run), run.title || run.kind];
    this.node.dataset.state = run.state;
    this.node.dataset.run = run.run_id;
    say(this.kind, run.kind);
    say(this.title, run.title);
    this.title.title = run.title;
    this.bar.hidden = ended;
    this.bar.setAttribute('aria-label', `Progress of ${name}`);
    if (part === null) {
      this.bar.removeAttribute('value');
    } else {
      this.bar.value = part;
    }
    say(this.text, line(run));
    const words = remark(run);
    say(this.message, words);
    this.message.title = words;
    this.place.hidden = !this.actions.hasPlace(run);
    this.place.setAttribute('aria-label', `Go to the cell of ${name}`);
    this.stop.hidden = ended;
    this.stop.setAttribute('aria-label', `Cancel ${name}`);
    // Not `disabled`: that would take the focus away from who pressed it with the keyboard.
    this.stop.setAttribute('aria-disabled', String(this.asked));
    say(this.stop, this.asked ? 'Cancelling' : 'Cancel');
  }

  private asked = false;
  private readonly kind: HTMLElement;
  private readonly title: HTMLElement;
  private readonly bar: HTMLProgressElement;
  private readonly text: HTMLElement;
  private readonly message: HTMLElement;
  private readonly place: HTMLButtonElement;
  private readonly stop: HTMLButtonElement;
}

export class RunsPanel extends Widget {
  /** The panel has come into sight or gone out of it. */
  readonly seen = new Signal<this, void>(this);

  constructor(private readonly actions: IActions) {
    super();
    this.addClass('wb-runs');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'Runs');
    const header = element('div', 'wb-runs-header', this.node);
    element('h2', 'wb-runs-name', header, 'Runs');
    this.clearing = button('Clear ended', header, () => {
      void this.actions.clear(this.runs ?? []);
      this.list.focus();
    });
    this.note = element('p', 'wb-runs-note', this.node);
    this.list = element('ul', 'wb-runs-list', this.node);
    this.list.tabIndex = -1;
    this.list.setAttribute('aria-label', 'Runs of all kernels');
    this.voice = element('div', 'wb-runs-voice', this.node);
    this.voice.setAttribute('role', 'status');
    this.clearing.disabled = true;
    say(this.note, 'Looking for runs.');
  }

  /** Show these runs, in this order. */
  showRuns(runs: IRun[], note: string): void {
    const heard = news(this.runs, runs);
    if (heard) {
      say(this.voice, heard);
    }
    this.runs = runs;
    say(this.note, note || (runs.length ? '' : EMPTY));
    this.clearing.disabled = !runs.some(hasEnded);
    const before = this.items;
    this.items = new Map();
    for (const run of runs) {
      const item = before.get(run.run_id) ?? new Item(run, this.actions);
      item.draw(run);
      this.items.set(run.run_id, item);
      before.delete(run.run_id);
    }
    const lost = [...before.values()].some(item => item.node.contains(document.activeElement));
    before.forEach(item => item.node.remove());
    [...this.items.values()].forEach((item, index) => {
      if (this.list.children[index] !== item.node) {
        this.list.insertBefore(item.node, this.list.children[index] ?? null);
      }
    });
    if (lost) {
      this.list.focus();
    }
  }

  /** Say why there is nothing to be shown; what was shown stays. */
  fail(why: string): void {
    say(this.note, why);
  }

  protected onAfterShow(): void {
    this.seen.emit();
  }

  protected onAfterHide(): void {
    this.seen.emit();
  }

  private runs: IRun[] | null = null;
  private items = new Map<string, Item>();
  private readonly clearing: HTMLButtonElement;
  private readonly note: HTMLElement;
  private readonly list: HTMLElement;
  private readonly voice: HTMLElement;
}
