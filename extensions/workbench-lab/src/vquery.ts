/**
 * A stream parser for the language of %%vquery: Python's shapes, and the words that only mean something in a query.
 */
import type { StreamParser, StringStream } from '@codemirror/language';

import { readHead } from './head';

const KEYWORDS = new Set(
  'class def return if elif else and or not in is for lambda import from as with pass None True False'.split(' ')
);
const CLAUSES = new Set('where select group order limit scale every'.split(' '));
const TYPES = new Set(
  (
    'Object Person Vehicle Car Truck Bus Motorcycle Bicycle Animal Bird Cat Dog Horse Bag Backpack Handbag Suitcase ' +
    'Ball Scene Query Region Line Scale'
  ).split(' ')
);
const WORDS = new Set(
  (
    'lasts sequence before during never prop count mean median min max sum any all stay turns inside enters leaves ' +
    'crosses near overlaps distance closing still speed heading region_of same_as'
  ).split(' ')
);

interface IState {
  /** The line is the magic's own: name, source, options. */
  head: boolean;
  first: boolean;
  /** The closing quotes of an open triple-quoted string. */
  open: string | null;
  /** Columns of the current line's indentation, and whether the line ended with a colon. */
  indent: number;
  colon: boolean;
  dot: boolean;
}

function readString(stream: StringStream, state: IState): string {
  const quote = stream.next() as string;
  if (stream.match(quote + quote)) {
    state.open = quote.repeat(3);
    return readOpenString(stream, state);
  }
  let escaped = false;
  while (!stream.eol()) {
    const letter = stream.next();
    if (letter === quote && !escaped) {
      break;
    }
    escaped = !escaped && letter === '\\';
  }
  return 'string';
}

function readOpenString(stream: StringStream, state: IState): string {
  while (!stream.eol()) {
    if (state.open !== null && stream.match(state.open)) {
      state.open = null;
      return 'string';
    }
    stream.next();
  }
  return 'string';
}

function readBody(stream: StringStream, state: IState): string | null {
  if (stream.eatSpace()) {
    return null;
  }
  if (stream.match(/^#.*/)) {
    return 'comment';
  }
  const letter = stream.peek() as string;
  state.colon = letter === ':';
  const dotted = state.dot;
  state.dot = false;
  if (letter === '"' || letter === "'") {
    return readString(stream, state);
  }
  if (stream.match(/^\{[A-Za-z_][\w.]*\}/) || stream.match(/^\$[A-Za-z_][\w.]*/)) {
    return 'variableName.special';
  }
  if (stream.match(/^@[A-Za-z_][\w.]*/)) {
    return 'meta';
  }
  if (stream.match(/^(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?/)) {
    return 'number';
  }
  const word = stream.match(/^[A-Za-z_]\w*/) as RegExpMatchArray | null;
  if (word !== null) {
    const name = word[0];
    if (dotted) {
      return WORDS.has(name) ? 'propertyName.standard' : 'propertyName';
    }
    if (name === 'None' || name === 'True' || name === 'False') {
      return 'atom';
    }
    if (KEYWORDS.has(name)) {
      return 'keyword';
    }
    if (CLAUSES.has(name) && /^\s*=[^=]/.test(stream.string.slice(stream.pos) + ' ')) {
      return 'keyword';
    }
    if (TYPES.has(name) || /^[A-Z]\w*[a-z]\w*$/.test(name)) {
      return 'variableName.definition'; // the tag that JupyterLab's themes give a colour
    }
    return WORDS.has(name) ? 'variableName.standard' : 'variableName';
  }
  if (stream.match(/^(==|!=|<=|>=|<<|>>|\*\*|\/\/|[-+*/%<>=&|^~])/)) {
    return 'operator';
  }
  state.dot = stream.next() === '.';
  return 'punctuation';
}

export const vqueryParser: StreamParser<IState> = {
  name: 'vquery',
  startState: () => ({ head: false, first: true, open: null, indent: 0, colon: false, dot: false }),
  copyState: state => ({ ...state }),
  token: (stream, state) => {
    if (stream.sol()) {
      state.head = state.first && /^\s*%%/.test(stream.string);
      state.first = state.first && /^\s*$/.test(stream.string);
      if (state.open === null && !/^\s*$/.test(stream.string)) {
        state.indent = stream.indentation();
        state.colon = false;
      }
    }
    if (state.open !== null) {
      return readOpenString(stream, state);
    }
    return state.head ? readHead(stream) : readBody(stream, state);
  },
  indent: (state, _after, context) => (state.open ? null : state.indent + (state.colon ? context.unit : 0)),
  languageData: { commentTokens: { line: '#' }, closeBrackets: { brackets: ['(', '[', '{', '"', "'"] } }
};
