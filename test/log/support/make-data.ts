// Makes what lies in test/fixtures/data-v1, in the directory named on the command line. Not part of the tests: what is
// in the repository was written by a version with these formats, and every later one must open it as it is.
import { freePorts } from '../../e2e/support/ports.ts';
import { liveStory } from './data-story.ts';

const [port] = await freePorts(1);
await liveStory(process.argv[2]!, `127.0.0.1:${port!}`);
