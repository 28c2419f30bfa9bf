/**
 * Whoever imports this starts processes, and they are to be what users start. The test runner asks every descendant, by
 * way of `NODE_OPTIONS`, to load what it watches imports with: for coverage, which we do not take. It doubles the time a
 * command takes to start, and slows every thread of a node.
 */
const ours = (process.env['NODE_OPTIONS'] ?? '')
  .split(' ')
  .filter((option) => option !== '' && !option.includes('@tapjs'));
if (ours.length > 0) process.env['NODE_OPTIONS'] = ours.join(' ');
else delete process.env['NODE_OPTIONS'];
