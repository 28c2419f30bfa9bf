import { setFlagsFromString } from 'node:v8';

/**
 * How much larger than after the last collection the heap may be before V8 collects all of it again, in percent of
 * what it was. V8 would stop at three times.
 *
 * What a node keeps lies outside the heap, in slabs and in the buffers its sockets hand out, and V8 counts those as
 * growth of a heap that has 10 MB: under load it marked these 10 MB twice a second, each time with a pause of 8 ms,
 * though there was nothing in them to collect. For other programs, where this engine is embedded, that is not ours to
 * decide.
 */
const GROWTH_PERCENT = 800;

/**
 * To be called when the program's code is loaded: with other flags than Node was built with, V8 does not take the
 * code of Node's own modules out of its cache (50 ms of a start).
 */
export function letHeapGrow(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
}
