// Counts the assertions of a TAP file and prints "PASSED FAILED"; each failed one goes to standard error with
// the names of the tests around it and what it says of itself. A subtest's own line is not counted when it has
// assertions inside; skipped and todo tests count as neither.
import { readFileSync } from 'node:fs';

const counts = { ok: 0, 'not ok': 0 };
const depths = []; // indents of the result lines that no enclosing line has claimed yet
const around = []; // names of the subtests that are open, by indent
let yaml = -1; // indent of the YAML block we are in
let failed = false; // whether the last result line was a failure, whose YAML block is worth printing

for (const line of readFileSync(process.argv[2], 'utf8').split('\n')) {
  const indent = line.search(/\S/);
  const text = line.trim();
  if (yaml >= 0) {
    if (failed) console.error(line);
    if (text === '...' && indent === yaml) yaml = -1;
    continue;
  }
  if (text === '---') {
    yaml = indent;
    continue;
  }
  const subtest = /^# Subtest: (.*)/.exec(text);
  if (subtest !== null) {
    around.length = indent / 4;
    around.push(subtest[1]);
  }
  const [, result] = /^(ok|not ok)\b/.exec(text) ?? [];
  if (result === undefined) continue;
  let parent = text.endsWith('{');
  while (depths.length > 0 && depths.at(-1) > indent) {
    depths.pop();
    parent = true;
  }
  if (depths.at(-1) !== indent) depths.push(indent);
  const counted = !parent && !/# (skip|todo)\b/i.test(text);
  failed = result === 'not ok' && counted;
  if (failed) console.error([...around.slice(0, indent / 4), text].join(' > '));
  if (counted) counts[result]++;
}
console.log(`${counts.ok} ${counts['not ok']}`);
