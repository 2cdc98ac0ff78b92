/**
 * The notebook that "Query this video" begins: the words of its two cells, and where it lies.
 */

const VIDEOS = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|mts|m2ts|wmv|flv|3gp|ogv|y4m)$/i;

export function isVideo(name: string): boolean {
  return VIDEOS.test(name);
}

/** Return a file name as one word of a magic's line, as `workbench.notebook.magics.line.quote` does. */
export function word(name: string): string {
  const literal = name.replace(/\$/g, '$$$$').replace(/\{/g, '{{').replace(/\}/g, '}}');
  if (/^[\p{L}\p{N}_./:@%+=*?${}-]+$/u.test(literal) && !literal.startsWith('-')) {
    return literal;
  }
  return `"${literal.replace(/\\/g, '\\\\').replace(/"/g, '\\"')}"`;
}

/** Return the sources of the cells for a video that lies beside the notebook. */
export function cells(name: string): string[] {
  return [
    '%load_ext workbench',
    `%%vquery ${word(name)} --limit 20 -o found
class Found(Query):
    person: Person
    where = person.score > 0.5
    select = person.id, start, end`
  ];
}

/** Return the notebook as nbformat 4.5 has it. */
export function notebook(name: string, kernel: { name: string; display_name: string } | null): Record<string, unknown> {
  return {
    cells: cells(name).map((source, index) => ({
      cell_type: 'code',
      execution_count: null,
      id: ['load', 'query'][index],
      metadata: {},
      outputs: [],
      source
    })),
    metadata: kernel === null ? {} : { kernelspec: { ...kernel, language: 'python' } },
    nbformat: 4,
    nbformat_minor: 5
  };
}

/** Return a path beside the video that none of `taken` (names in that folder) has. */
export function freePath(path: string, taken: string[]): string {
  const slash = path.lastIndexOf('/') + 1;
  const stem = path.slice(slash).replace(/\.[^.]*$/, '');
  const used = new Set(taken.map(name => name.toLowerCase()));
  for (let number = 0; ; number += 1) {
    const name = `${stem} query${number ? ` ${number + 1}` : ''}.ipynb`;
    if (!used.has(name.toLowerCase())) {
      return path.slice(0, slash) + name;
    }
  }
}
