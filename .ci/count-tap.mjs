// Counts the assertions of a TAP file and prints "PASSED FAILED". A subtest's own line is not counted when
// it has assertions inside; skipped and todo tests count as neither.
import { readFileSync } from 'node:fs';

const counts = { ok: 0, 'not ok': 0 };
const depths = []; // indents of the result lines that no enclosing line has claimed yet
let yaml = -1; // indent of the YAML block we are in

for (const line of readFileSync(process.argv[2], 'utf8').split('\n')) {
  const indent = line.search(/\S/);
  const text = line.trim();
  if (yaml >= 0) {
    if (text === '...' && indent === yaml) yaml = -1;
    continue;
  }
  if (text === '---') {
    yaml = indent;
    continue;
  }
  const [, result] = /^(ok|not ok)\b/.exec(text) ?? [];
  if (result === undefined) continue;
  let parent = text.endsWith('{');
  while (depths.length > 0 && depths.at(-1) > indent) {
    depths.pop();
    parent = true;
  }
  if (depths.at(-1) !== indent) depths.push(indent);
  if (!parent && !/# (skip|todo)\b/i.test(text)) counts[result]++;
}
console.log(`${counts.ok} ${counts['not ok']}`);
