import type { Random } from '../core/random.ts';

export const partitionKinds = ['halves', 'one way', 'bridge', 'ring', 'alone', 'links'] as const;
export type PartitionKind = (typeof partitionKinds)[number];

/**
 * Which of `places` cannot send to which, for a partition of this kind: two halves; two halves of which one still hears
 * the other; two halves with one place that reaches both; a ring in which everyone reaches a majority but no two the
 * same one; one place cut off; or single links.
 */
export function partition(
  kind: PartitionKind,
  places: readonly number[],
  dice: Random,
): [from: number, to: number][] {
  const left = new Set(places.filter(() => dice.next() < 0.5));
  const chosen = places[Math.floor(dice.next() * places.length)]!;
  const start = Math.floor(dice.next() * places.length);
  const cuts: [number, number][] = [];
  places.forEach((a, i) => {
    places.forEach((b, j) => {
      if (a === b) return;
      const apart = left.has(a) !== left.has(b);
      const gap = Math.abs(((i + start) % places.length) - ((j + start) % places.length));
      const isCut = {
        halves: apart,
        'one way': apart && left.has(a),
        bridge: apart && a !== chosen && b !== chosen,
        ring: Math.min(gap, places.length - gap) > Math.max(1, Math.floor(places.length / 4)),
        alone: a === chosen || b === chosen,
        links: dice.next() < 0.2,
      }[kind];
      if (isCut) cuts.push([a, b]);
    });
  });
  return cuts;
}
