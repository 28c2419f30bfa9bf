import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

/** What a process has used so far. */
export interface Usage {
  readonly cpuMs: number;
  readonly rssBytes: number;
  /** Most it held since `resetPeak`, or since it began where that is not possible. */
  readonly peakRssBytes: number;
}

const none: Usage = { cpuMs: 0, rssBytes: 0, peakRssBytes: 0 };
/** Linux counts CPU time in ticks of 10 ms. */
const TICK_MS = 10;

/** Usage of other processes: from /proc on Linux, elsewhere from `ps` (coarser, and without a peak). */
export function usageOf(pids: readonly number[]): Usage[] {
  if (process.platform === 'linux') return pids.map(fromProc);
  if (process.platform === 'win32') return pids.map(() => none);
  return fromPs(pids);
}

export function sumCpuMs(usages: readonly Usage[]): number {
  return usages.reduce((sum, { cpuMs }) => sum + cpuMs, 0);
}

/** Lets `peakRssBytes` begin anew, where the system can do that. */
export function resetPeak(pids: readonly number[]): void {
  if (process.platform !== 'linux') return;
  for (const pid of pids) {
    try {
      writeFileSync(`/proc/${pid}/clear_refs`, '5');
    } catch {
      // Not ours, or gone: the peak is then that of its whole life.
    }
  }
}

function fromProc(pid: number): Usage {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name of the program may hold spaces and brackets: fields are counted from behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return {
      cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
      rssBytes: kilobytes(status, 'VmRSS'),
      peakRssBytes: kilobytes(status, 'VmHWM'),
    };
  } catch {
    return none;
  }
}

function kilobytes(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) * 1024;
}

function fromPs(pids: readonly number[]): Usage[] {
  let lines: string[];
  try {
    lines = execFileSync('ps', ['-o', 'pid=,rss=,time=', '-p', pids.join(',')], { encoding: 'utf8' }).split(
      '\n',
    );
  } catch {
    return pids.map(() => none);
  }
  const found = new Map<number, Usage>();
  for (const line of lines) {
    const [pid, rss, time] = line.trim().split(/\s+/);
    const rssBytes = Number(rss) * 1024;
    found.set(Number(pid), { cpuMs: clockMs(time ?? '0'), rssBytes, peakRssBytes: rssBytes });
  }
  return pids.map((pid) => found.get(pid) ?? none);
}

/** `[[dd-]hh:]mm:ss[.hh]` */
function clockMs(text: string): number {
  const [clock, days] = text.split('-').reverse();
  const seconds = clock!.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
  return (seconds + Number(days ?? 0) * 86_400) * 1000;
}
