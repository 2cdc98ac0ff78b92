/**
 * What the report's dialog says of its size: the estimate of `GET workbench/report` in words.
 */

export interface IEstimate {
  bytes: number;
  assets: { kind: string; name: string; cell: number; bytes: number; included: boolean }[];
}

const KINDS: [string, string, string][] = [
  ['clip', 'clip', 'clips'],
  ['plot', 'plot', 'plots'],
  ['view', 'interactive view', 'interactive views'],
  ['image', 'image', 'images']
];

/** 1532 -> "1.5 KiB", as the Python side writes it. */
export function bytes(count: number): string {
  let value = count;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (Math.abs(value) < 1024) {
      return unit === 'B' || value >= 100 ? `${Math.round(value)} ${unit}` : `${Number(value.toPrecision(3))} ${unit}`;
    }
    value /= 1024;
  }
  return `${Number(value.toPrecision(3))} TiB`;
}

/** Return one line on what comes into the report, and one on what does not (empty if nothing is left out). */
export function describe(estimate: IEstimate, limit: string): [string, string] {
  const inside = estimate.assets.filter(asset => asset.included);
  const held = KINDS.map(([kind, one, many]): string => {
    const found = inside.filter(asset => asset.kind === kind).length;
    return found === 0 ? '' : `${found} ${found === 1 ? one : many}`;
  }).filter(Boolean);
  const left = estimate.assets.filter(asset => !asset.included && asset.kind === 'clip');
  const size = left.reduce((sum, asset) => sum + asset.bytes, 0);
  return [
    `About ${bytes(estimate.bytes)}${held.length ? `: ${held.join(', ')}` : ''}.`,
    left.length ? `Left out: ${left.length} ${left.length === 1 ? 'clip' : 'clips'} (${bytes(size)}) over ${limit}.` : ''
  ];
}
