/**
 * The wire, for whoever writes a client or a tool of their own: numbers, frames, codecs. PROTOCOL.md beside this
 * file describes it in full.
 *
 * @module cordwood/protocol
 */
export { type Address, formatAddress, parseAddress } from './address.ts';
export { ByteWriter, readU16, readU32, readU64, writeU32, writeU64 } from './byte-writer.ts';
export {
  beginFrame,
  beginWrite,
  checkReadFrame,
  checkWriteFrame,
  decodeErrorBody,
  decodeLeader,
  decodeWelcome,
  encodeAdminRequest,
  encodeBoundedQuery,
  encodeCloseSession,
  encodeCommand,
  encodeError,
  encodeErrorResponse,
  encodeKeepAlive,
  encodeKeyedCommand,
  encodeLeader,
  encodeOpenSession,
  encodePing,
  encodePreamble,
  encodeQuery,
  encodeResponse,
  encodeStatusRequest,
  encodeWelcome,
  endFrame,
  type ErrorBody,
  frameFlags,
  frameKind,
  frameRequestId,
  isWriteKind,
  type LeaderHint,
  negotiateVersion,
  type OpenSessionOptions,
  type Welcome,
  writeSeq,
  writeSession,
  writeWindow,
} from './client-codec.ts';
export {
  CLIENT_MAGIC,
  FRAME_HEADER_BYTES,
  Kind,
  Lane,
  Limits,
  PEER_HEADER_BYTES,
  PEER_MAGIC,
  PeerKind,
  PREAMBLE_BYTES,
  PROTOCOL_VERSION,
  spokenVersions,
  type VersionRange,
  ReadLevel,
  RECORD_HEADER_BYTES,
  SnapshotStatus,
  StackOp,
  Status,
  WRITE_HEADER_BYTES,
} from './constants.ts';
export {
  CordwoodError,
  type CordwoodErrorOptions,
  type ErrorCode,
  ErrorCodes,
  errorCodeOfStatus,
  type Outcome,
} from './errors.ts';
export { type ConsumeRun, FrameSplitter, nextFrameEnd, type SplitterOptions } from './frame-splitter.ts';
export { decodeValue, encodeValue, writeValue } from './msgpack.ts';
export { skipValue } from './msgpack-scan.ts';
