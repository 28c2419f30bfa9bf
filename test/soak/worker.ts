import { parentPort } from 'node:worker_threads';
import { tellChunk, type Chunk } from './stories.ts';

parentPort!.on('message', (chunk: Chunk) => {
  void tellChunk(chunk).then((result) => parentPort!.postMessage(result));
});
