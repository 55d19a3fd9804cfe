/** What the pages share: two languages, the door that a token opens, asking the server, and elements. */

let language = localStorage.getItem("nabi-language") === "en" ? "en" : "ko";

export const part = (id) => document.getElementById(id);

/** Text only, never markup: what is shown was written by people and by models. */
export function make(kind, content) {
  const element = document.createElement(kind);
  element.append(...[content].flat());
  return element;
}

/** Puts a page's fixed words into the language that was chosen last, and gives all of its words in it. */
export function dress(texts) {
  const words = texts[language];
  document.documentElement.lang = language;
  document.title = words.title;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = words[element.dataset.text];
  part("language").textContent = words.other;
  part("language").lang = language === "ko" ? "en" : "ko";
  return words;
}

/** Lets the button change the language, for this page and the others. */
export function onLanguage(draw) {
  part("language").addEventListener("click", () => {
    language = language === "ko" ? "en" : "ko";
    localStorage.setItem("nabi-language", language);
    draw();
  });
}

export function moment(text) {
  return new Date(text).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
}

/**
 * What the server answers to `path` for a token or a ticket; with a body it is posted.
 * `status` is 0 where the server cannot be reached; `said` is its JSON.
 */
export async function ask(path, token, body) {
  try {
    const answer = await fetch(path, {
      method: body ? "POST" : "GET",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
    return { status: answer.status, ok: answer.ok, said: await answer.json() };
  } catch {
    return { status: 0, ok: false, said: null };
  }
}

/** The form that asks for a token and the button that forgets it. It is kept until the window is closed. */
export class Door {
  constructor(name, { opened, left }) {
    this.name = name;
    part("login").addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(name, part("token").value.trim());
      part("token").value = "";
      opened();
    });
    part("leave").addEventListener("click", () => {
      this.forget();
      left();
    });
  }

  get token() {
    return sessionStorage.getItem(this.name);
  }

  forget() {
    sessionStorage.removeItem(this.name);
  }

  draw() {
    part("login").hidden = Boolean(this.token);
    part("leave").hidden = !this.token;
  }
}
