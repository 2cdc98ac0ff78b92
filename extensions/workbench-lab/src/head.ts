/**
 * The first line of a magic cell: its name, what it is about, its options.
 */
import type { StringStream } from '@codemirror/language';

/** Whether this line is a magic's first. */
export function isHead(line: string): boolean {
  return /^\s*%%?\w/.test(line);
}

export function readHead(stream: StringStream): string | null {
  if (stream.match(/^%%?\w+/)) {
    return 'meta';
  }
  if (stream.eatSpace()) {
    return null;
  }
  if (stream.match(/^--?[A-Za-z][\w-]*/)) {
    return 'attributeName';
  }
  if (stream.match(/^\{[\w.]*\}/) || stream.match(/^\$[A-Za-z_][\w.]*/)) {
    return 'variableName.special';
  }
  if (stream.match(/^(["']).*?\1/) || stream.match(/^[^\s]+/)) {
    return 'string';
  }
  stream.next();
  return null;
}
