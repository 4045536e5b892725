// The page: a tab for each checkpoint that the server has. It asks nothing but the server that it came from.

import { RecordingField } from "./recording.js";
import { shown } from "./results.js";

const TABS = {
  recognise: { title: "Recognise", go: "Recognise", about: "Speech to text." },
  say: { title: "Say", go: "Say it", about: "Text to speech." },
  convert: { title: "Convert", go: "Convert", about: "Speech in another voice." },
  enhance: { title: "Enhance", go: "Enhance", about: "Speech without its noise." },
  identify: { title: "Identify", go: "Identify", about: "Who speaks, of the speakers of the training." },
};
const SPEAKING = ["say", "convert", "enhance"];
const OF_A_RECORDING = "\u0000recording"; // no file has this name

function cloned(id) {
  return document.getElementById(id).content.cloneNode(true).firstElementChild;
}

class Panel {
  constructor(tab, site) {
    this.name = tab.name;
    this.site = site;
    this.element = cloned("panel");
    this.element.id = `panel-${tab.name}`;
    this.element.setAttribute("aria-labelledby", `tab-${tab.name}`);
    this.find(".about").textContent = `${TABS[tab.name].about} ${tab.checkpoint}, on ${tab.device}.`;
    this.find(".go").textContent = TABS[tab.name].go;
    this.fields = this.find(".fields");
    this.recording = tab.name === "say" ? null : this.addRecording("Recording", this.fields);
    if (tab.name === "say") this.addText();
    this.voiceRecording = null;
    if (SPEAKING.includes(tab.name)) this.addVoice();
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  addRecording(legend, place) {
    const field = new RecordingField(legend, this.site.limits, (words) => this.tell(words));
    place.append(field.element);
    return field;
  }

  addText() {
    const field = cloned("text");
    field.querySelector("textarea").maxLength = this.site.limits.characters;
    this.fields.append(field);
  }

  addVoice() {
    const field = cloned("voice");
    const select = field.querySelector("select");
    this.site.voices.forEach((voice) => select.add(new Option(voice, voice)));
    this.fields.append(field);
    if (!this.site.voices_of_recordings) return;
    select.add(new Option("of a recording", OF_A_RECORDING));
    this.voiceRecording = this.addRecording("Recording of the voice", field);
    const show = () => (this.voiceRecording.element.hidden = select.value !== OF_A_RECORDING);
    select.addEventListener("change", show);
    show();
  }

  tell(words) {
    const place = this.find(".error");
    place.textContent = words ?? "";
    place.hidden = !words;
  }

  // The form of a request; null where something is missing or too large, which the user is told.
  form() {
    const form = new FormData();
    const add = (name, field) => field?.file && form.append(name, field.file, field.file.name);
    if (this.recording && !this.recording.file) return this.tell("No recording: choose a file, or record one.");
    add("recording", this.recording);
    const voice = this.find("select")?.value ?? "";
    if (voice !== OF_A_RECORDING) form.append("voice", voice);
    else if (!this.voiceRecording.file) return this.tell("No recording of the voice: choose a file, or record one.");
    else add("voice_recording", this.voiceRecording);
    form.append("text", this.find("textarea")?.value ?? "");
    const megabytes = [this.recording, this.voiceRecording].reduce((sum, field) => sum + (field?.file?.size ?? 0), 0) / 1e6;
    if (megabytes > this.site.limits.megabytes) {
      return this.tell(`${megabytes.toFixed(1)} MB, and ${this.site.limits.megabytes} MB is the most here; give a shorter recording, or FLAC.`);
    }
    return form;
  }

  async submit() {
    this.tell(null);
    const form = this.form();
    if (!form) return;
    this.find(".result").hidden = true;
    this.find(".go").disabled = true;
    const clock = this.watch();
    try {
      const response = await fetch(`api/${this.name}`, { method: "POST", body: form });
      const answer = await response.json();
      if (response.ok) this.show(answer);
      else this.tell(answer.error);
    } catch (error) {
      this.tell(`The server does not answer (${error.message}); it may have been stopped, or have refused the file's size.`);
    } finally {
      clearInterval(clock);
      this.find(".status").textContent = "";
      this.find(".go").disabled = false;
    }
  }

  show(answer) {
    const result = this.find(".result");
    result.querySelectorAll("audio").forEach((audio) => URL.revokeObjectURL(audio.src));
    result.replaceChildren(...shown(this.name, answer));
    result.hidden = false;
  }

  // Seconds, and how many ask the same model, until it is cleared.
  watch() {
    const began = performance.now();
    const status = this.find(".status");
    status.textContent = "Working ...";
    return setInterval(async () => {
      const seconds = Math.round((performance.now() - began) / 1000);
      const waiting = await fetch("api/waiting").then((response) => response.json()).catch(() => ({}));
      const others = (waiting[this.name] ?? 1) - 1;
      const queue = others > 0 ? `, ${others} more at this model` : "";
      if (this.find(".go").disabled) status.textContent = `Working ... ${seconds} s${queue}`;
    }, 1000);
  }
}

function select(panels, name) {
  for (const [each, { panel, tab }] of Object.entries(panels)) {
    panel.element.hidden = each !== name;
    tab.setAttribute("aria-selected", String(each === name));
    tab.tabIndex = each === name ? 0 : -1;
  }
}

function addTabs(site) {
  const panels = {};
  const names = site.tabs.map((tab) => tab.name);
  for (const tab of site.tabs) {
    const button = Object.assign(document.createElement("button"), { type: "button", id: `tab-${tab.name}` });
    button.textContent = TABS[tab.name].title;
    button.setAttribute("role", "tab");
    button.setAttribute("aria-controls", `panel-${tab.name}`);
    button.addEventListener("click", () => select(panels, tab.name));
    button.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const next = names[(names.indexOf(tab.name) + step + names.length) % names.length];
      select(panels, next);
      panels[next].tab.focus();
    });
    panels[tab.name] = { panel: new Panel(tab, site), tab: button };
    document.getElementById("tabs").append(button);
    document.getElementById("panels").append(panels[tab.name].panel.element);
  }
  select(panels, names[0]);
}

try {
  addTabs(await fetch("api/site").then((response) => response.json()));
} catch (error) {
  const words = Object.assign(document.createElement("p"), { className: "error" });
  words.textContent = `The server does not answer (${error.message}); start it again.`;
  document.getElementById("panels").append(words);
}
