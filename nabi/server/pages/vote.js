import { ask as askServer, dress, make, onLanguage, part } from "/page.js";

const TEXTS = {
  ko: {
    title: "어느 답이 더 좋은가요?",
    other: "English",
    answer: "답",
    better: "이 답이 더 좋아요",
    tie: "둘이 비슷해요",
    back: "이전",
    ahead: "다음",
    facts: "두 답이 함께 받은 참고 정보",
    help: "글쇠: 1 첫째 답, 2 둘째 답, = 비슷함, ← 이전, → 다음. 고르면 바로 저장되고, 창을 닫았다가 다시 열면 이어서 할 수 있어요.",
    intro: (it) => `${it.persona}에게 물은 말과 두 가지 답이에요. ${it.who} 님의 표로 남아요.`,
    place: (it) => `${it.total}개 가운데 ${it.number}번째 · 고른 것 ${it.done}개`,
    done: (it) => `${it.total}개를 모두 고르셨어요. 고맙습니다!\n바꾸고 싶은 것이 있으면 ‘이전’으로 돌아가세요.`,
    loading: "불러오고 있어요…",
    noTicket: "받은 링크를 통째로 열어 주세요.",
    closed: "이 링크로는 더 고를 수 없어요. 기한이 지났거나 링크가 잘렸어요. 보낸 사람에게 새 링크를 부탁하세요.",
    gone: "고를 것이 이제 없어요. 보낸 사람에게 물어보세요.",
    changed: "그사이 문항이 바뀌었어요. 방금 고른 것은 저장되지 않았으니 다시 골라 주세요.",
    away: "서버에 닿지 않아 저장하지 못했어요. 잠시 뒤 다시 해 주세요.",
  },
  en: {
    title: "Which answer is better?",
    other: "한국어",
    answer: "Answer",
    better: "This one is better",
    tie: "No difference",
    back: "Back",
    ahead: "Next",
    facts: "What both answers could know",
    help: "Keys: 1 and 2 for the answers, = for no difference, ← back, → next. A choice is kept at once; close the page and open it again to go on.",
    intro: (it) => `What ${it.persona} was asked, and two answers. Your votes are kept under the name ${it.who}.`,
    place: (it) => `${it.number} of ${it.total} · ${it.done} chosen`,
    done: (it) => `All ${it.total} are chosen. Thank you!\nGo back if you want to change one.`,
    loading: "Loading…",
    noTicket: "Please open the whole link that you were sent.",
    closed: "This link is not good any more: its time is over, or a part of it is missing. Ask whoever sent it for a new one.",
    gone: "There is nothing left to choose. Ask whoever sent the link.",
    changed: "The prompts changed meanwhile. Your last choice was not kept: please choose again.",
    away: "The server cannot be reached, so nothing was kept. Please try again in a moment.",
  },
};
const PROBLEMS = { 401: "closed", 404: "gone", 409: "changed" };
const KEYS = { 1: "left", 2: "right", "=": "tie", 0: "tie" };

const ticket = location.hash.slice(1);
let shown = null; // what the server said last
let problem = ticket ? null : "noTicket";
let busy = false;

async function ask(path, body) {
  if (busy || !ticket) return;
  busy = true;
  draw();
  const { status, ok, said } = await askServer(path, ticket, body);
  let found = ok ? null : PROBLEMS[status] || "away";
  if (ok) shown = said;
  busy = false;
  if (found === "changed") {
    await ask("/v1/votes");
    found = problem || "changed";
  }
  problem = found;
  draw();
  if (!problem && shown.number) part("place").focus();
}

function choose(side) {
  if (shown && shown.number) ask("/v1/votes", { number: shown.number, edition: shown.edition, side });
}

function step(by) {
  if (!shown) return;
  const number = (shown.number || shown.total + 1) + by;
  if (number >= 1 && number <= shown.total) ask(`/v1/votes?number=${number}`);
  else if (number > shown.total) ask("/v1/votes");
}

function draw() {
  const texts = dress(TEXTS);
  const asking = Boolean(shown && shown.number && problem !== "closed" && problem !== "gone");
  part("message").textContent = message(texts);
  part("prompt").hidden = !asking;
  part("help").hidden = !asking;
  part("intro").hidden = part("bar").hidden = !shown;
  part("back").hidden = !shown || shown.number === 1 || (problem && !asking);
  part("ahead").hidden = !asking;
  for (const button of document.querySelectorAll("main button")) button.disabled = busy;
  if (!shown) return;
  part("intro").textContent = texts.intro(shown);
  part("bar").max = shown.total;
  part("bar").value = shown.done;
  if (!shown.number) return;
  part("place").textContent = texts.place(shown);
  part("facts").hidden = !shown.facts.length;
  list("#facts ul", shown.facts.map((fact) => ({ text: Object.entries(fact).map((pair) => pair.join(": ")).join(" | ") })));
  list("#turns", shown.turns.map((turn) => ({ text: turn.content, role: turn.role })));
  part("left").textContent = shown.left;
  part("right").textContent = shown.right;
  for (const button of document.querySelectorAll("[data-side]")) {
    button.setAttribute("aria-pressed", String(button.dataset.side === shown.chosen));
  }
}

function message(texts) {
  if (problem) return texts[problem];
  if (!shown) return texts.loading;
  return shown.number ? "" : texts.done(shown);
}

function list(place, rows) {
  const items = rows.map(({ text, role }) => {
    const item = make("li", text);
    if (role) item.dataset.role = role;
    return item;
  });
  document.querySelector(place).replaceChildren(...items);
}

for (const button of document.querySelectorAll("[data-side]")) {
  button.addEventListener("click", () => choose(button.dataset.side));
}
part("back").addEventListener("click", () => step(-1));
part("ahead").addEventListener("click", () => step(1));
onLanguage(draw);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key in KEYS) choose(KEYS[event.key]);
  else if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "ArrowRight") step(1);
  else return;
  event.preventDefault();
});
window.addEventListener("hashchange", () => location.reload());

draw();
ask("/v1/votes");
