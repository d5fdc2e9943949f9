// Writes a letter from templates, in the browser. Only the kind of letter and the role are told to
// the server; the letter itself never leaves the page.

import { track } from "./track.js";

const ROLES = {
  backend: {
    name: "Backend engineer",
    love: "making a service boring: the kind that answers, keeps what it was given, and lets people sleep",
    proof: "I delete more code than I add in a good month, and I write the migration before the feature",
    quirk: "I will ask what happens when the queue is full. I will ask it again when everybody has their coat on",
    dread: "A meeting about naming the new microservice, which should have been a function",
  },
  frontend: {
    name: "Frontend engineer",
    love: "the moment when a form stops arguing with the person who fills it in",
    proof: "I test with a keyboard, a slow phone and somebody's patient aunt, in that order",
    quirk: "I notice when a label is two pixels off, and my face cannot keep it secret",
    dread: "A carousel, and the meeting in which it is called a quick win",
  },
  fullstack: {
    name: "Full-stack engineer",
    love: "following one click all the way down to a row in a table, and back up as something useful",
    proof: "I can explain the same bug to a designer and to a database, and both stay polite",
    quirk: "I know a little about everything, which is exactly enough to have opinions in every channel",
    dread: "Being introduced as the person who can do the work of three teams",
  },
  devops: {
    name: "DevOps engineer",
    love: "a deployment that nobody noticed, including me",
    proof: "I rehearse the restore, not only the backup, and I write the runbook for a tired reader",
    quirk: "I read a dashboard during dinner, then the menu, and I find the menu less well labelled",
    dread: "The words 'small change' on a Friday, spoken by somebody who is already leaving",
  },
  data: {
    name: "Data engineer",
    love: "a number that two departments finally agree on",
    proof: "I count things once, say what was left out, and keep the query next to the chart",
    quirk: "Told that something is 'up 300 %', I ask from what, and the room becomes quiet",
    dread: "A spreadsheet named final_v7_really_final, on which payroll turns out to depend",
  },
};

const LETTERS = {
  motivation: {
    label: "Letter of motivation",
    openings: [
      "I am writing because your team is looking for a {role}, and because I would like to be the reason you can stop looking.",
      "You need a {role}. I need work that deserves a good Tuesday morning. This letter is my attempt to introduce the two.",
      "Most letters begin with passion. Mine begins with curiosity about how you do things, which lasts longer.",
    ],
    middles: [
      "What I enjoy most is {love}. {proof}.",
      "I am at my best when it comes to {love}. As evidence I offer a habit instead of a promise: {proof_lower}.",
    ],
    turns: [
      "I learn quickly, I ask before I rebuild, and I write things down so that the next person does not need me.",
      "You will find me kind in reviews, brief in meetings, and glad to hand over the credit along with the documentation.",
    ],
    endings: [
      "If that sounds like a colleague, I would be happy to talk. If it does not, I wish you a good search, and I mean it.",
      "I would be glad to show you more, preferably over a real problem of yours. Bring the awkward one.",
    ],
    close: "With anticipation,",
  },
  anti_motivation: {
    label: "Letter of anti-motivation",
    openings: [
      "I am writing to apply for nothing in particular. Your search for a {role} is going fine without me, and I would hate to interrupt.",
      "Please consider this letter as a formal and friendly withdrawal from a race in which I had not yet started running.",
      "Thank you for not inviting me yet. In the spirit of efficiency, here are the reasons to keep it that way for a {role}.",
    ],
    middles: [
      "{quirk}. The nearest thing I have to a phobia: {dread_lower}.",
      "In fairness you should know the worst. {quirk}. And then there is this, which I cannot do with a straight face: {dread_lower}.",
    ],
    turns: [
      "It is not you. Your website loads, your people seem decent, and somebody there clearly knows where the good coffee is.",
      "None of this is a complaint. I am sure you build fine things; I would merely ask why, quite often, before lunch.",
    ],
    endings: [
      "So let us not work together, warmly and without hard feelings. Should you insist, I can be talked round with an interesting problem.",
      "I remain, with great respect, unavailable until something truly interesting breaks. I will probably hear it from here.",
    ],
    close: "With sincere reluctance,",
  },
};

const role = document.getElementById("role");
const sheet = document.getElementById("letter");
const kind = document.getElementById("letter-kind");
const body = document.getElementById("letter-body");
const saving = document.getElementById("letter-get");
const last = new Map();

/** One of the variants, and not the one that was taken last time. */
function pick(variants) {
  const others = variants.filter((variant) => variant !== last.get(variants));
  const choice = others[Math.floor(Math.random() * others.length)];
  last.set(variants, choice);
  return choice;
}

const lowerFirst = (text) => text.replace(/^(?!I\b|DevOps)./, (letter) => letter.toLowerCase());

function write(letterType, roleKey) {
  const { openings, middles, turns, endings, close } = LETTERS[letterType];
  const { name, love, proof, quirk, dread } = ROLES[roleKey];
  const words = {
    role: lowerFirst(name),
    love, proof, quirk,
    proof_lower: lowerFirst(proof),
    dread_lower: lowerFirst(dread),
  };
  const fill = (text) => text.replace(/\{(\w+)\}/g, (_, word) => words[word]);
  return ["Dear team,", ...[openings, middles, turns, endings].map((part) => fill(pick(part))), close, "Your Name"];
}

function generate(letterType) {
  const paragraphs = write(letterType, role.value);
  kind.textContent = `${LETTERS[letterType].label}\u00a0· ${ROLES[role.value].name}`;
  body.replaceChildren(...paragraphs.map((text) => {
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    return paragraph;
  }));
  sheet.dataset.type = letterType;
  saving.hidden = false;
  track("letter_generate", { letter_type: letterType, role: role.value });
  sheet.focus({ preventScroll: true });
  sheet.scrollIntoView({ block: "nearest" });
}

function save() {
  const file = `letter-of-${sheet.dataset.type.replace("_", "-")}.txt`;
  const text = [...body.children].map((paragraph) => paragraph.textContent).join("\n\n");
  const url = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/plain;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = file;
  link.click(); // never in the document and without data-track, so it is no second click
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  track("pdf_download", { file });
}

for (const button of document.querySelectorAll("[data-letter]")) {
  button.addEventListener("click", () => generate(button.dataset.letter));
}
document.getElementById("letter-download").addEventListener("click", save);
document.getElementById("desk").hidden = false;
