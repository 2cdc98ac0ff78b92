/**
 * Plugin 2: the renderer of application/vnd.workbench.view+json. It needs no kernel.
 *
 * The output's text/html is shown as JupyterLab would show it, with the parts for which there is an ES module
 * replaced by that module. Clips stay where they are stored once, in elements with `data-wb-asset` of that HTML.
 */
import { renderHTML } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';

import curve from './esm/curve.js';
import gantt from './esm/gantt.js';
import player from './esm/player.js';
import ranked from './esm/ranked.js';
import region from './esm/region.js';
import run from './esm/run.js';
import timeline from './esm/timeline.js';
import { ASK, type IModule, PlainModel, shareTime } from './model';
import { ask, route } from './server';

export const MIME_TYPE = 'application/vnd.workbench.view+json';

const MODULES: Record<string, IModule> = { curve, gantt, player, ranked, region, run, timeline };

interface IView {
  module: string;
  id: string;
  state: Record<string, unknown>;
}

/** Return the URL that an asset's element carries; only what cannot leave this page, or is relative to it. */
function assetUrl(element: Element): string | null {
  const url = element.getAttribute('src') ?? element.querySelector('source')?.getAttribute('src') ?? null;
  if (url === null || /^data:(video|image|audio)\//i.test(url)) {
    return url;
  }
  return /^([a-z][a-z0-9+.-]*:|\/\/)/i.test(url) ? null : url;
}

/** Return the address at which our server gives a video in parts, or null where it does not. */
async function videoRoute(path: string): Promise<string | null> {
  try {
    const url = route('video', { path: decodeURIComponent(path) });
    return (await ask(url, { method: 'HEAD' })).ok ? url : null;
  } catch {
    return null; // no server at all, or no path
  }
}

function readViews(data: unknown): IView[] {
  const views = (data as { views?: unknown } | null)?.views;
  if (!Array.isArray(views)) {
    return [];
  }
  return views.filter(
    view =>
      typeof view?.id === 'string' &&
      typeof view?.state === 'object' &&
      view.state !== null &&
      Object.prototype.hasOwnProperty.call(MODULES, view.module)
  );
}

export class ViewRenderer extends Widget implements IRenderMime.IRenderer {
  constructor(private readonly options: IRenderMime.IRendererOptions) {
    super();
    this.addClass('wb-view');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this._clean();
    const html = model.data['text/html'];
    const source = Array.isArray(html) ? html.join('') : String(html ?? '');
    // The parsed document is inert: nothing in it is loaded or run.
    const inert = new DOMParser().parseFromString(source, 'text/html');
    const views = readViews(model.data[MIME_TYPE]);
    const states: Record<string, unknown>[] = [];
    for (const [index, view] of views.entries()) {
      states.push(await this._withAsset(view, inert));
      this._leaveSlot(view, index, inert);
    }
    this.node.replaceChildren();
    const host = document.createElement('div');
    host.classList.add('wb-view-html', 'jp-RenderedHTMLCommon');
    await renderHTML({
      host,
      source: inert.body.innerHTML,
      trusted: model.trusted,
      resolver: this.options.resolver,
      sanitizer: this.options.sanitizer,
      linkHandler: this.options.linkHandler,
      shouldTypeset: false,
      latexTypesetter: this.options.latexTypesetter
    });
    this.node.append(host);
    this._mount(views, states, host);
  }

  dispose(): void {
    if (!this.isDisposed) {
      this._clean();
      super.dispose();
    }
  }

  private async _withAsset(view: IView, inert: Document): Promise<Record<string, unknown>> {
    const state = { ...view.state };
    const name = String(state.asset || view.id);
    const holder = inert.querySelector(`[data-wb-asset="${CSS.escape(name)}"]`);
    let url = holder === null ? null : assetUrl(holder);
    if (url === null && typeof state.source === 'string' && !/^([a-z][a-z0-9+.-]*:|\/)/i.test(state.source)) {
      url = state.source;
    }
    if (url !== null && !url.startsWith('data:') && this.options.resolver) {
      const path = await this.options.resolver.resolveUrl(url);
      url = view.module === 'player' ? await videoRoute(path) : null;
      url ??= await this.options.resolver.getDownloadUrl(path);
    }
    if ('asset' in state || view.module === 'player') {
      state.asset = url ?? '';
    }
    return state;
  }

  /** Replace a view's static form by an empty element; its class survives JupyterLab's sanitizer. */
  private _leaveSlot(view: IView, index: number, inert: Document): void {
    const asset = String(view.state.asset || view.id);
    const shown =
      inert.querySelector(`[data-wb-view="${CSS.escape(view.id)}"]`) ??
      (view.module === 'player' ? inert.querySelector(`[data-wb-asset="${CSS.escape(asset)}"]`) : null);
    const slot = inert.createElement('div');
    slot.className = `wb-view-part wb-view-slot-${index}`;
    if (shown) {
      shown.replaceWith(slot);
    } else {
      inert.body.append(slot);
    }
  }

  private _mount(views: IView[], states: Record<string, unknown>[], host: HTMLElement): void {
    const models = states.map(state => new PlainModel(state));
    shareTime(models);
    for (const [index, view] of views.entries()) {
      let slot = host.querySelector<HTMLElement>(`.wb-view-slot-${index}`);
      if (slot === null) {
        slot = document.createElement('div');
        slot.className = 'wb-view-part';
        this.node.append(slot);
      }
      const model = models[index];
      if (model.get('key')) {
        // The kernel is asked only once a reader looks into an answer, not by opening a notebook.
        const place = slot;
        model.on('change:selected', () => {
          place.dispatchEvent(new CustomEvent(ASK, { bubbles: true, detail: model }));
        });
        this._cleanups.push(() => model.connect(null));
      }
      const clean = MODULES[view.module].render({ model, el: slot });
      if (typeof clean === 'function') {
        this._cleanups.push(clean);
      }
    }
  }

  private _clean(): void {
    for (const clean of this._cleanups.splice(0)) {
      clean();
    }
  }

  private _cleanups: (() => void)[] = [];
}

const extension: IRenderMime.IExtension = {
  id: 'workbench-lab:view',
  description: 'Shows results with players, timelines and ranked tables, with or without a kernel.',
  rendererFactory: {
    safe: true,
    mimeTypes: [MIME_TYPE],
    defaultRank: 0,
    createRenderer: options => new ViewRenderer(options)
  },
  rank: 0,
  dataType: 'json'
};

export default extension;
