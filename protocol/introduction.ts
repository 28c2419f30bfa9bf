import type { Config } from '../lib/core/types.ts';
import { ByteWriter } from './byte-writer.ts';
import { encodePreamble } from './client-codec.ts';
import { encodeConfig } from './config-codec.ts';
import { PEER_HEADER_BYTES, PEER_MAGIC, PeerKind, PREAMBLE_BYTES, PROTOCOL_VERSION } from './constants.ts';
import { decodeFields, writeValue } from './msgpack.ts';
import { configIn } from './peer-codec.ts';
import { beginPeerFrame, checkPeerFrame, peerError, peerFrameKind, sealPeerFrame } from './peer-frame.ts';

/** Largest introduction taken: the configuration of the largest cluster fits many times. */
export const MAX_INTRODUCTION_BYTES: number = 256 << 10;

/**
 * What a node says of itself to anyone who asks on its peer port: to a node that wants to join and must learn which
 * cluster this is, and to a leader that is about to add it.
 */
export interface Introduction {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly incarnation: string;
  readonly peerAddress: string;
  readonly clientAddress: string;
  /** Its log has nothing in it, and it belongs to no configuration. */
  readonly empty: boolean;
  /** Configuration in force there, and where in the log it comes from. */
  readonly config: Config;
  readonly configIndex: number;
}

/** Preamble and question, as they are written first on a new connection. */
export function encodeIntroduce(): Uint8Array {
  const out = new ByteWriter(64);
  out.bytes(encodePreamble(PEER_MAGIC, PROTOCOL_VERSION, PROTOCOL_VERSION));
  const frame = beginPeerFrame(out, PeerKind.introduce);
  writeValue(out, {});
  sealPeerFrame(out, frame);
  return out.take();
}

/** Whether the frame behind the preamble asks for an introduction; the frame is whole. */
export function isIntroduce(bytes: Uint8Array): boolean {
  return peerFrameKind(bytes, PREAMBLE_BYTES) === PeerKind.introduce;
}

export function encodeIntroduction(introduction: Introduction): Uint8Array {
  const out = new ByteWriter(1024);
  const frame = beginPeerFrame(out, PeerKind.introduction);
  writeValue(out, { ...introduction, config: encodeConfig(introduction.config) });
  sealPeerFrame(out, frame);
  return out.take();
}

/** @throws CordwoodError `PROTOCOL_ERROR` */
export function decodeIntroduction(bytes: Uint8Array, start: number, end: number): Introduction {
  if (end - start < PEER_HEADER_BYTES || peerFrameKind(bytes, start) !== PeerKind.introduction)
    throw peerError('no introduction');
  checkPeerFrame(bytes, start, end, end);
  const fields = decodeFields(bytes, start + PEER_HEADER_BYTES, end, 'introduction');
  const config = fields.get('config');
  if (!(config instanceof Uint8Array)) throw peerError('introduction: no configuration');
  return {
    clusterId: fields.string('clusterId', 128),
    nodeId: fields.integer('nodeId'),
    incarnation: fields.string('incarnation', 128),
    peerAddress: fields.string('peerAddress', 512),
    clientAddress: fields.string('clientAddress', 512),
    empty: fields.get('empty') === true,
    config: configIn(config, 0, config.length),
    configIndex: fields.integer('configIndex'),
  };
}
