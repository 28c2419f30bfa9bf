// As shell.test.ts, for the document with the most commands.
import t from 'tap';
import { runDocument } from './support/shell-blocks.ts';

t.test('docs/operations.md', (t) => runDocument(t, 'docs/operations.md'));
