/** How loud a microphone is, for people to see that they are heard. Nothing of it leaves the page. */

/** How often it is looked at, ms: as often as eyes notice. */
const LOOK_EVERY_MS = 100;
/** A voice at arm's length fills the scale. */
const LOUD = 0.2;

/** Tells the level of a track, 0 to 1, ten times a second until `close`. */
export class MicrophoneLevel {
  private readonly context = new AudioContext();
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(track: MediaStreamTrack, told: (level: number) => void) {
    const analyser = this.context.createAnalyser();
    analyser.fftSize = 1_024;
    this.context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      told(Math.min(1, Math.sqrt(power) / LOUD));
    }, LOOK_EVERY_MS);
  }

  close(): void {
    clearInterval(this.timer);
    void this.context.close();
  }
}
