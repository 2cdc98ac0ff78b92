/**
 * A stream parser for the bodies of %%diff and %%outliers: SQL, and the words that DIFF adds to it.
 */
import type { StreamParser, StringStream } from '@codemirror/language';

import { isHead, readHead } from './head';

const KEYWORDS = new Set(
  (
    'all and any as asc between by case cast create cross cte desc describe distinct drop else end except exclude exists ' +
    'explain false fields filter first following for from full group having if ilike in inner insert intersect interval ' +
    'into is join last lateral left like limit lines natural not null nulls offset on or order outer over partition pivot ' +
    'preceding qualify range replace right row rows sample select set show similar table tablesample temp temporary ' +
    'terminated then to true unbounded union unnest unpivot using values view when where window with'
  ).split(' ')
);
const DIFF = new Set('diff split compare min ratio support max combo import csv file outfile'.split(' '));
const TYPES = new Set(
  'bigint blob boolean bool date decimal double float hugeint int integer numeric real smallint text time timestamp varchar'.split(' ')
);
const WORDS = new Set(
  (
    'risk_ratio global_ratio prevalence_ratio prevalence_difference mean_shift mean_deviation percentile normalize mad_score ' +
    'zscore count sum avg min max median quantile stddev abs round coalesce date_trunc extract lower upper length strftime'
  ).split(' ')
);

interface IState {
  first: boolean;
  head: boolean;
  /** What closes the string or comment that is open over the end of a line. */
  open: string | null;
  style: string;
}

function readUntil(stream: StringStream, state: IState, close: string, style: string): string {
  state.open = close;
  state.style = style;
  while (!stream.eol()) {
    if (stream.match(close)) {
      // A doubled quote is a quote in the text.
      if (close.length > 1 || !stream.match(close)) {
        state.open = null;
        return style;
      }
    } else {
      stream.next();
    }
  }
  return style;
}

function readBody(stream: StringStream, state: IState): string | null {
  if (stream.eatSpace()) {
    return null;
  }
  if (stream.match(/^--.*/) || (/^\s*#/.test(stream.string) && stream.match(/^#.*/))) {
    return 'comment';
  }
  if (stream.match('/*')) {
    return readUntil(stream, state, '*/', 'comment');
  }
  if (stream.match("'")) {
    return readUntil(stream, state, "'", 'string');
  }
  if (stream.match('"')) {
    return readUntil(stream, state, '"', 'propertyName');
  }
  if (stream.match('$$')) {
    return readUntil(stream, state, '$$', 'string');
  }
  if (stream.match(/^\{[A-Za-z_][\w.]*\}/) || stream.match(/^\$[A-Za-z_][\w.]*/)) {
    return 'variableName.special';
  }
  if (stream.match(/^(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?/)) {
    return 'number';
  }
  const word = stream.match(/^[A-Za-z_]\w*/) as RegExpMatchArray | null;
  if (word !== null) {
    const name = word[0].toLowerCase();
    const called = /^\s*\(/.test(stream.string.slice(stream.pos));
    if (name === 'null' || name === 'true' || name === 'false') {
      return 'atom';
    }
    if (WORDS.has(name) && (called || name.includes('_'))) {
      return 'variableName.standard';
    }
    if (KEYWORDS.has(name) || DIFF.has(name)) {
      return 'keyword';
    }
    return TYPES.has(name) ? 'typeName' : 'variableName';
  }
  if (stream.match(/^(<>|!=|<=|>=|\|\||::|->>?|[-+*/%<>=|&~])/)) {
    return 'operator';
  }
  stream.next();
  return 'punctuation';
}

export const diffParser: StreamParser<IState> = {
  name: 'workbench-diff',
  startState: () => ({ first: true, head: false, open: null, style: 'string' }),
  copyState: state => ({ ...state }),
  token: (stream, state) => {
    if (stream.sol()) {
      state.head = state.first && isHead(stream.string);
      state.first = state.first && /^\s*$/.test(stream.string);
    }
    if (state.open !== null) {
      return readUntil(stream, state, state.open, state.style);
    }
    return state.head ? readHead(stream) : readBody(stream, state);
  },
  languageData: { commentTokens: { line: '--', block: { open: '/*', close: '*/' } }, closeBrackets: { brackets: ['(', '[', '{', "'", '"'] } }
};
