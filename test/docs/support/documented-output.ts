/** What the `console.log` lines of a program print, by the comments behind them, in order. */
export function documentedOutput(code: string): string[] {
  return [...code.matchAll(/^\s*console\.log\(.*\);\s*\/\/ (.+)$/gm)].map(([, comment]) => comment!);
}
