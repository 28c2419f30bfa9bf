import { DataDirectory } from '../../lib/log/data-directory.ts';

// Started by data-directory.test.ts: takes the directory and waits to be killed.
await DataDirectory.open({ path: process.argv[2]!, clusterId: 'wood', nodeId: 1, members: [] });
process.send?.('held');
setInterval(() => {}, 1000);
