import type { CallOptions, StackCalls } from '../../lib/server/stack-calls.ts';

export interface ListedStack {
  readonly name: string;
  readonly size: number;
}

/** Names asked for at a time. */
const PAGE_SIZE = 10_000;

/**
 * The stacks behind `after`, at most `limit`. They are asked for page by page until one is empty: an answer ends at
 * about 1 MiB, so that one that is shorter than was asked for need not be the last.
 */
export async function listStacks(
  stacks: StackCalls,
  prefix: string,
  after: string,
  limit: number,
  call: CallOptions,
): Promise<ListedStack[]> {
  const pages: ListedStack[][] = [];
  for (let from = after, left = limit; left > 0;) {
    const page = await stacks.list(prefix, from, Math.min(left, PAGE_SIZE), call);
    if (page.length === 0) break;
    pages.push(page);
    from = page.at(-1)!.name;
    left -= page.length;
  }
  return pages.flat();
}
