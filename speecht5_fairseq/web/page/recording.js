// A recording: chosen, dropped, or taken with the microphone. The server reads WAV, FLAC, Ogg and MP3; whatever else the
// browser can play, and what its microphone gives, is turned into WAV here.

const READ_BY_SERVER = /\.(wav|flac|ogg|oga|opus|mp3|aiff?)$/i;
const SILENT = "The microphone gave no sound; look at the browser's settings for it.";

export class RecordingField {
  constructor(legend, limits, tell) {
    const fragment = document.getElementById("recording").content.cloneNode(true);
    this.element = fragment.querySelector(".recording");
    this.element.querySelector("legend").textContent = legend;
    this.limits = limits;
    this.tell = tell; // shows an error; null takes it away
    this.file = null;
    this.recorder = null;
    this.input = this.element.querySelector("input");
    this.button = this.element.querySelector(".record");
    this.chosen = this.element.querySelector(".chosen");
    this.audio = this.element.querySelector("audio");
    this.input.addEventListener("change", () => this.input.files[0] && this.take(this.input.files[0]));
    this.button.addEventListener("click", () => this.record());
    this.audio.addEventListener("error", () => (this.audio.hidden = true)); // nothing that this browser plays
    this.acceptDrops();
  }

  acceptDrops() {
    const over = (on) => (event) => {
      event.preventDefault();
      this.element.classList.toggle("over", on);
    };
    this.element.addEventListener("dragover", over(true));
    this.element.addEventListener("dragleave", over(false));
    this.element.addEventListener("drop", (event) => {
      over(false)(event);
      if (event.dataTransfer.files[0]) this.take(event.dataTransfer.files[0]);
    });
  }

  async take(file) {
    this.tell(null);
    if (!READ_BY_SERVER.test(file.name)) {
      try {
        file = new File([await toWav(file)], `${file.name}.wav`, { type: "audio/wav" });
      } catch {
        // not the browser's either: the server says what is wrong with it
      }
    }
    this.file = file;
    this.chosen.textContent = file.name;
    if (this.audio.src) URL.revokeObjectURL(this.audio.src);
    this.audio.src = URL.createObjectURL(file);
    this.audio.hidden = false;
  }

  async record() {
    if (this.recorder) return this.recorder.stop();
    if (!navigator.mediaDevices) {
      return this.tell("Browsers give the microphone to pages on https or localhost only; choose a file instead.");
    }
    this.button.disabled = true; // until it is known whether there is a microphone: one recorder at a time
    let stream;
    try {
      const plain = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
      this.tell(null);
      this.follow(new MediaRecorder(stream), stream);
    } catch (error) {
      stream?.getTracks().forEach((track) => track.stop());
      this.tell(`No microphone (${error.message}); allow it, or choose a file instead.`);
    } finally {
      this.button.disabled = false;
    }
  }

  follow(recorder, stream) {
    const parts = [];
    const began = performance.now();
    const clock = setInterval(() => {
      const seconds = (performance.now() - began) / 1000;
      this.chosen.textContent = `${seconds.toFixed(1)} s`;
      if (seconds > this.limits.seconds - 1 && recorder.state === "recording") recorder.stop();
    }, 100);
    recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    recorder.addEventListener("stop", async () => {
      clearInterval(clock);
      stream.getTracks().forEach((track) => track.stop());
      this.recorder = null;
      this.button.textContent = "Record";
      this.button.setAttribute("aria-pressed", "false");
      try {
        const wav = await toWav(new Blob(parts, { type: recorder.mimeType }));
        await this.take(new File([wav], "microphone.wav", { type: "audio/wav" }));
      } catch {
        this.chosen.textContent = "";
        this.tell(SILENT);
      }
    });
    this.recorder = recorder;
    this.button.textContent = "Stop";
    this.button.setAttribute("aria-pressed", "true");
    recorder.start();
  }
}

// Anything that the browser plays as a mono WAV file of 16 bits.
async function toWav(blob) {
  const context = new AudioContext();
  try {
    const sound = await context.decodeAudioData(await blob.arrayBuffer());
    const mono = new Float32Array(sound.length);
    for (let channel = 0; channel < sound.numberOfChannels; channel += 1) {
      sound.getChannelData(channel).forEach((value, index) => (mono[index] += value / sound.numberOfChannels));
    }
    return wavOf(mono, sound.sampleRate);
  } finally {
    await context.close();
  }
}

function wavOf(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const word = (at, text) => [...text].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the format that follows
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a frame
  view.setUint16(34, 16, true); // bits
  word(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, index) => {
    view.setInt16(44 + 2 * index, Math.round(32767 * Math.max(-1, Math.min(1, value))), true);
  });
  return new Blob([view.buffer], { type: "audio/wav" });
}
