/**
 * Plugin 1: magic cells are shown in the colours of their own language.
 */
import { LanguageSupport, StreamLanguage } from '@codemirror/language';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { ICellModel } from '@jupyterlab/cells';
import { isCodeCellModel } from '@jupyterlab/cells';
import { EditorExtensionRegistry, IEditorExtensionRegistry, IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { INotebookTracker } from '@jupyterlab/notebook';
import { Signal } from '@lumino/signaling';

import { diffParser } from './diff';
import { magicLines } from './magiclines';
import { IWorkbenchSettings } from './tokens';
import { vqueryParser } from './vquery';

/** The MIME type of a cell that starts with the magic. `text/x-diff` itself is that of patches. */
const MAGICS: [RegExp, string][] = [
  [/^\s*%%vquery(?![\w])/, 'text/x-vquery'],
  [/^\s*%%(diff|outliers)(?![\w])/, 'text/x-workbench-diff']
];

/** Whether magic cells are coloured at all, and the signal that this has changed. */
class Highlighting {
  readonly changed = new Signal<this, void>(this);

  get on(): boolean {
    return this._on;
  }

  set on(value: boolean) {
    if (value !== this._on) {
      this._on = value;
      this.changed.emit();
    }
  }

  typeOf(source: string): string | null {
    const known = this._on ? MAGICS.find(([pattern]) => pattern.test(source)) : undefined;
    return known === undefined ? null : known[1];
  }

  private _on = true;
}

/**
 * Keep the MIME types of a notebook's cells equal to what their first lines say.
 *
 * JupyterLab writes the kernel's language into every code cell when the kernel reports it, which is after
 * `kernelChanged`; the only moment at which ours stays is the cell's own `mimeTypeChanged`.
 */
function watchNotebook(panel: NotebookPanel, highlighting: Highlighting): void {
  const types = new Set(MAGICS.map(([, type]) => type));
  const update = (cell: ICellModel) => {
    const type = highlighting.typeOf(cell.sharedModel.getSource());
    if (type !== null) {
      cell.mimeType = type;
    } else if (types.has(cell.mimeType)) {
      cell.mimeType = panel.content.codeMimetype;
    }
  };
  const cells = () => [...(panel.content.model?.cells ?? [])].filter(isCodeCellModel);
  const watched = new WeakSet<ICellModel>();
  const watchCells = () => {
    for (const cell of cells().filter(cell => !watched.has(cell))) {
      watched.add(cell);
      cell.mimeTypeChanged.connect(() => update(cell));
      cell.contentChanged.connect(() => update(cell));
      update(cell);
    }
  };
  const watchModel = () => {
    panel.content.model?.cells.changed.connect(watchCells);
    watchCells();
  };
  const updateAll = () => cells().forEach(update);
  panel.content.modelChanged.connect(watchModel);
  highlighting.changed.connect(updateAll);
  panel.disposed.connect(() => {
    highlighting.changed.disconnect(updateAll);
  });
  watchModel();
}

export const language: JupyterFrontEndPlugin<void> = {
  id: 'workbench-lab:language',
  description: 'Colours the cells and lines of magics.',
  autoStart: true,
  requires: [IEditorLanguageRegistry, IEditorExtensionRegistry, INotebookTracker, IWorkbenchSettings],
  activate: (
    _app: JupyterFrontEnd,
    languages: IEditorLanguageRegistry,
    extensions: IEditorExtensionRegistry,
    notebooks: INotebookTracker,
    settings: IWorkbenchSettings
  ) => {
    const highlighting = new Highlighting();
    languages.addLanguage({
      name: 'vquery',
      displayName: 'Video query',
      mime: 'text/x-vquery',
      support: new LanguageSupport(StreamLanguage.define(vqueryParser))
    });
    languages.addLanguage({
      name: 'workbench-diff',
      displayName: 'SQL with DIFF',
      mime: 'text/x-workbench-diff',
      support: new LanguageSupport(StreamLanguage.define(diffParser))
    });
    const watch = (panel: NotebookPanel) => {
      // An editor that still waits for Python's language would put it in the place of ours, so it comes first; those
      // that began to wait before it was there go on within this turn of the event loop.
      const ready = panel.context.ready.then(() => languages.getLanguage('text/x-ipython'));
      void ready.finally(() => setTimeout(() => panel.isDisposed || watchNotebook(panel, highlighting)));
    };
    notebooks.widgetAdded.connect((_, panel) => watch(panel));
    notebooks.forEach(watch);
    extensions.addExtension({
      name: 'workbench-lab:magic-lines',
      factory: () => EditorExtensionRegistry.createImmutableExtension(magicLines)
    });
    const read = () => {
      highlighting.on = settings.highlightMagics;
      document.body.classList.toggle('wb-colour-magics', settings.highlightMagics);
    };
    settings.changed.connect(read);
    read();
  }
};
