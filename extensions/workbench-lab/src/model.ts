/**
 * The model that our ES modules are given where there is no kernel: the anywidget front-end contract on a plain object.
 */

export type Listener = (value?: unknown) => void;

export interface IModel {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  on(event: string, listener: Listener): void;
  off(event?: string | null, listener?: Listener | null): void;
  save_changes(): void;
  send(content: unknown): void;
}

export interface IModule {
  initialize?(context: { model: IModel }): void | (() => void);
  render(context: { model: IModel; el: HTMLElement }): void | (() => void);
}

/** A way to the kernel and back. */
export interface IChannel {
  send(content: unknown): void;
  close(): void;
}

/** The event by which a view asks the page around it for a way to the kernel. */
export const ASK = 'workbench-ask';

/** A model on a plain object; `change:NAME` is told at once, as Backbone does. */
export class PlainModel implements IModel {
  constructor(state: Record<string, unknown>) {
    this._state = { ...state };
  }

  get(name: string): unknown {
    return this._state[name];
  }

  set(name: string, value: unknown): void {
    if (Object.is(this._state[name], value)) {
      return;
    }
    this._state[name] = value;
    for (const listener of [...(this._listeners.get(`change:${name}`) ?? [])]) {
      listener(value);
    }
  }

  on(event: string, listener: Listener): void {
    const known = this._listeners.get(event) ?? new Set<Listener>();
    known.add(listener);
    this._listeners.set(event, known);
  }

  off(event?: string | null, listener?: Listener | null): void {
    if (!event) {
      this._listeners.clear();
    } else if (!listener) {
      this._listeners.delete(event);
    } else {
      this._listeners.get(event)?.delete(listener);
    }
  }

  // Without a kernel there is nobody to save for.
  save_changes(): void {
    return;
  }

  send(content: unknown): void {
    this._channel?.send(content);
  }

  /** Let the module talk with a kernel; null ends that. */
  connect(channel: IChannel | null): void {
    const before = this._channel;
    this._channel = channel;
    before?.close();
    this.set('live', false);
  }

  get connected(): boolean {
    return this._channel !== null;
  }

  /** Tell the module what the kernel has sent. */
  receive(content: unknown): void {
    for (const listener of [...(this._listeners.get('msg:custom') ?? [])]) {
      listener(content);
    }
  }

  private _channel: IChannel | null = null;
  private _state: Record<string, unknown>;
  private _listeners = new Map<string, Set<Listener>>();
}

/** Let all models follow one another's `time`; a no-op for the ones that have none. */
export function shareTime(models: PlainModel[]): void {
  for (const model of models) {
    model.on('change:time', value => {
      for (const other of models) {
        if (other !== model) {
          other.set('time', value);
        }
      }
    });
  }
}
