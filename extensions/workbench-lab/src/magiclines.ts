/**
 * Colours of a magic's own line where the cell below it is Python's: %%fuse, %%pipeline, %%tta, and the line magics.
 *
 * The cell keeps JupyterLab's Python, with all it can do; only the classes of this one line are ours.
 */
import { StringStream } from '@codemirror/language';
import { type Extension, Prec, RangeSetBuilder } from '@codemirror/state';
import { Decoration, type DecorationSet, type EditorView, ViewPlugin, type ViewUpdate } from '@codemirror/view';

import { readHead } from './head';

const CELL = /^\s*%%(fuse|pipeline|tta)(?!\w)/;
const LINE = /^\s*%(outliers|pipeline|workbench)(?!\w)/;

function decorate(view: EditorView): DecorationSet {
  const builder = new RangeSetBuilder<Decoration>();
  for (const { from, to } of view.visibleRanges) {
    for (let at = from; at <= to; ) {
      const line = view.state.doc.lineAt(at);
      if (LINE.test(line.text) || (line.number === 1 && CELL.test(line.text))) {
        const stream = new StringStream(line.text, view.state.tabSize, 2);
        while (!stream.eol()) {
          stream.start = stream.pos;
          const style = readHead(stream);
          if (style !== null) {
            const mark = Decoration.mark({ class: `wb-magic-${style.split('.')[0]}` });
            builder.add(line.from + stream.start, line.from + stream.pos, mark);
          }
        }
      }
      at = line.to + 1;
    }
  }
  return builder.finish();
}

const plugin = ViewPlugin.fromClass(
  class {
    decorations: DecorationSet;

    constructor(view: EditorView) {
      this.decorations = decorate(view);
    }

    update(update: ViewUpdate): void {
      if (update.docChanged || update.viewportChanged) {
        this.decorations = decorate(update.view);
      }
    }
  },
  { decorations: value => value.decorations }
);

/** Of the highest precedence, so that its elements are the inner ones and their colour is the one that is seen. */
export const magicLines: Extension = Prec.highest(plugin);
