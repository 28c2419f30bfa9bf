import t from 'tap';
import { FindingCodes } from '../../lib/node/explain.ts';
import { readDocument } from './support/fences.ts';

t.test('docs/operations.md lists exactly the codes that findings have', async (t) => {
  const text = readDocument('docs/operations.md');
  const section = text.slice(text.indexOf('### What explain says'));
  const listed = [...section.matchAll(/^\| `([A-Z_]+)` \| .+ \| .+ \|$/gm)].map(([, code]) => code);
  t.same(listed.sort(), [...FindingCodes].sort());
});
