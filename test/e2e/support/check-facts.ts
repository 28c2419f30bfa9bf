import { EMPTY, type History, type Op } from './history.ts';

/**
 * Cheap checks that need no search and give plain messages. They hold for a history whose stacks were popped empty at
 * its end:
 *
 * - nothing is invented: what was popped or seen had been pushed, and not under a push that was said not to have run;
 * - nothing is popped twice;
 * - nothing acknowledged is lost: a push that was answered is popped by somebody, unless as many pops as are missing
 *   ended without an answer and may have taken it.
 *
 * @returns what is wrong, a line each
 */
export function checkFacts(history: History): string[] {
  return history.stacks.flatMap((stack) => checkStack(stack, history.of(stack)));
}

function checkStack(stack: string, ops: readonly Op[]): string[] {
  const wrong: string[] = [];
  const pushes = new Map<string, Op>();
  const popped = new Map<string, Op>();
  for (const op of ops) if (op.kind === 'push') pushes.set(op.value!, op);
  for (const op of ops) {
    if (op.outcome !== 'ok' || (op.kind !== 'pop' && op.kind !== 'top') || op.result === EMPTY) continue;
    const value = String(op.result);
    const push = pushes.get(value);
    if (push === undefined) wrong.push(`${stack}: ${tell(op)} was never pushed`);
    else if (push.outcome === 'not_applied')
      wrong.push(`${stack}: ${tell(op)}, but its push was "not applied" (${push.error})`);
    else if (push.callMs > op.endMs) wrong.push(`${stack}: ${tell(op)} before it was pushed`);
    if (op.kind !== 'pop') continue;
    const other = popped.get(value);
    if (other !== undefined) wrong.push(`${stack}: popped twice: ${tell(op)} and ${tell(other)}`);
    popped.set(value, op);
  }
  const missing = [...pushes.values()].filter((op) => op.outcome === 'ok' && !popped.has(op.value!));
  const suspects = ops.filter((op) => op.kind === 'pop' && op.outcome === 'unknown').length;
  if (missing.length > suspects) {
    const some = missing.slice(0, 5).map(tell).join('; ');
    wrong.push(
      `${stack}: ${missing.length} acknowledged pushes are lost (${suspects} pops unknown): ${some}`,
    );
  }
  return wrong;
}

export function tell(op: Op): string {
  const given = op.value === null ? '' : ` ${shorten(op.value)}`;
  const got = op.outcome === 'ok' ? shorten(String(op.result)) : `${op.outcome} ${op.error}`;
  return `${op.client} ${op.kind}${given} → ${got} [${op.callMs.toFixed(1)}…${op.endMs.toFixed(1)}]`;
}

function shorten(text: string): string {
  return text.replace(/\.+$/, '');
}
