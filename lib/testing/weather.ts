/** What the network and the disks do at the moment; a nemesis changes it as it likes. Times in milliseconds. */
export interface Weather {
  minDelayMs: number;
  maxDelayMs: number;
  /** How often a message is lost; of a connection: how often it has to be sent again, which holds up those behind. */
  lossRate: number;
  duplicateRate: number;
  /** Messages of one connection overtake each other; only where there are no real connections. */
  reorder: boolean;
  minDiskMs: number;
  maxDiskMs: number;
}

export const fairWeather: Readonly<Weather> = {
  minDelayMs: 1,
  maxDelayMs: 5,
  lossRate: 0,
  duplicateRate: 0,
  reorder: false,
  minDiskMs: 0.5,
  maxDiskMs: 3,
};
