import { spawn } from 'node:child_process';
import type { LoadFigures, Meter } from './contestant.ts';

/**
 * Runs a load that is not written in JavaScript to its end: it prints `begin` and `end` around what it measures, and
 * then one line of JSON, a `LoadFigures`.
 */
export function runForeignLoad(
  program: string,
  flags: readonly string[],
  meter: Meter,
): Promise<LoadFigures> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, flags, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const lines = text.split('\n');
      text = lines.pop()!;
      for (const line of lines) {
        if (line === 'begin') meter.begin();
        else if (line === 'end') meter.end();
        else resolve(JSON.parse(line) as LoadFigures);
      }
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`${program} ended without a result`)));
  });
}
