"use strict";
// Keeps the page as the server would render it now. The server sends fragments
// of the page that have changed; without this script the page is complete as it came.
(() => {
  const $ = (id) => document.getElementById(id);
  const policy = window.trustedTypes?.createPolicy("dynamicio", { createHTML: (html) => html }) ?? { createHTML: (html) => html };

  // parse returns the element that a fragment from the server stands for.
  const parse = (html) => {
    const t = document.createElement("template");
    t.innerHTML = policy.createHTML(html);
    return t.content.firstElementChild;
  };

  // The clock of the cluster, which the times on the page are by.
  let ahead = Number(document.body.dataset.now) - Date.now();

  // span is how the server says how long something takes.
  const span = (ms) => {
    const s = Math.floor(Math.max(ms, 0) / 1000);
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    if (s < 48 * 3600) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
  };

  const tick = () => {
    const now = Date.now() + ahead;
    for (const t of document.querySelectorAll("time")) {
      const { until, since } = t.dataset;
      const text = span(until ? until - now : now - since);
      if (t.textContent !== text) t.textContent = text;
    }
  };
  setInterval(() => document.hidden || tick(), 250);

  const keyOf = (node) => (node.nodeType === 1 ? node.id || node.dataset.key : "");

  // morph makes the element a like b, and leaves alone what is alike already: so
  // focus, selection, and what is open or typed stay.
  const morph = (a, b) => {
    for (const { name } of [...a.attributes]) if (!b.hasAttribute(name) && name !== "open") a.removeAttribute(name);
    for (const { name, value } of b.attributes) if (a.getAttribute(name) !== value) a.setAttribute(name, value);
    if (a.localName === "time") return;
    const keyed = new Map();
    for (const c of a.childNodes) if (keyOf(c)) keyed.set(keyOf(c), c);
    let at = a.firstChild;
    for (const n of [...b.childNodes]) {
      const key = keyOf(n);
      let old = key ? keyed.get(key) : at;
      if (old && (old.nodeName !== n.nodeName || keyOf(old) !== key)) old = null;
      if (!old) {
        a.insertBefore(n, at);
        continue;
      }
      if (old === at) at = at.nextSibling;
      else a.insertBefore(old, at);
      if (old.nodeType === 1) morph(old, n);
      else if (old.data !== n.data) old.data = n.data;
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  };

  // apply brings the page up to date; see update in live_diff.go.
  const apply = ({ title, put = {}, order = {} }, whole) => {
    if (title) document.title = title;
    const made = new Map(Object.entries(put).map(([id, html]) => [id, parse(html)]));
    for (const [region, ids] of Object.entries(order)) {
      const box = $(`r-${region}`);
      if (!box) continue;
      const stay = new Set(ids);
      for (const c of [...box.children]) if (c.id && !stay.has(c.id)) c.remove();
      let at = [...box.children].find((c) => c.id) ?? null;
      for (const id of ids) {
        const there = $(id);
        const el = there ?? made.get(id);
        if (!el) continue;
        if (!there) {
          made.delete(id);
          if (!whole) el.classList.add("new");
        }
        if (el === at) at = at.nextElementSibling;
        else box.insertBefore(el, at);
      }
    }
    for (const [id, el] of made) if ($(id)) morph($(id), el);
    tick();
  };

  // The stream. It is open while the page is seen and not paused.
  const live = $("live");
  const pause = $("pause");
  let source, retry, watch, failed = 0, paused = false, lost = 0;

  const say = (kind, text) => {
    live.className = kind;
    document.body.classList.toggle("stale", kind === "off");
    if (live.textContent !== text) live.textContent = text;
  };

  const shut = () => {
    source?.close();
    source = undefined;
    clearTimeout(retry);
    clearTimeout(watch);
  };

  const away = () => {
    lost ||= Date.now();
    document.title = document.title.replace(/^\S+/, "?"); // the first update puts it right
    say("off", `not connected since ${new Date(lost).toLocaleTimeString()}`);
  };

  // again opens the stream anew after a while, longer from failure to failure.
  const again = () => {
    shut();
    away();
    retry = setTimeout(open, Math.min(30, 2 ** failed++) * 500 * (1 + Math.random()));
  };

  // The server speaks at least every 15 seconds; a connection that is dead often does not tell.
  const heard = (e) => {
    const [now, data] = e.data.split("\n", 2);
    ahead = Number(now) - Date.now();
    clearTimeout(watch);
    watch = setTimeout(again, 40_000);
    failed = lost = 0;
    return data;
  };

  // open starts the stream. once ends it after its first message, which is the whole page.
  const open = (once = paused) => {
    shut();
    if (document.hidden) return say("", "paused while hidden");
    if (!live.textContent) say("", "connecting");
    const mine = (source = new EventSource(document.body.dataset.events + location.search));
    let first = true;
    mine.addEventListener("update", (e) => {
      if (mine !== source) return;
      apply(JSON.parse(heard(e)), first);
      first = false;
      if (once !== true) return say("on", "live");
      shut();
      say("", "paused");
    });
    mine.addEventListener("beat", (e) => mine === source && heard(e));
    mine.onerror = () => mine === source && again();
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      shut();
      if (!paused) say("", "paused while hidden");
    } else if (!paused) open();
  });
  addEventListener("pagehide", shut);
  addEventListener("pageshow", (e) => e.persisted && !paused && open());

  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    if (paused) {
      shut();
      say("", "paused");
    } else open();
  });

  // Finding: the stream for what is typed replaces the stream for what was.
  const find = $("find");
  const q = $("q");
  if (find) {
    let wait;
    const seek = () => {
      clearTimeout(wait);
      const query = new URLSearchParams(location.search);
      if ((query.get("q") ?? "") === q.value) return;
      for (const name of ["q", "after", "notice"]) query.delete(name);
      if (q.value) query.set("q", q.value);
      const search = query.toString();
      history.replaceState(null, "", location.pathname + (search && `?${search}`));
      open();
    };
    q.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(seek, 200);
    });
    find.addEventListener("submit", (e) => {
      if (live.className === "off") return; // the form works without the stream
      e.preventDefault();
      seek();
    });
    addEventListener("keydown", (e) => {
      if (e.key === "/" && !e.ctrlKey && !e.metaKey && !e.altKey && !e.target.closest("input, dialog")) {
        e.preventDefault();
        q.focus();
        q.select();
      } else if (e.key === "Escape" && e.target === q) {
        q.value = "";
        seek();
      }
    });
    $("keys").hidden = false;
  }

  // Actions: the question that the link leads to is asked here.
  const confirm = $("confirm");
  if (confirm) {
    const form = confirm.querySelector("form");
    const [no, yes] = form.querySelectorAll("button");
    document.addEventListener("click", (e) => {
      const link = e.target.closest("a[data-act]");
      if (!link || e.button || e.ctrlKey || e.metaKey || e.shiftKey) return;
      e.preventDefault();
      const order = new URL(link.href).searchParams;
      for (const name of ["action", "namespace", "id"]) form.elements[name].value = order.get(name) ?? "";
      $("question").textContent = link.dataset.ask;
      $("outcome").textContent = "";
      yes.textContent = link.dataset.act;
      yes.disabled = false;
      confirm.showModal();
    });
    no.addEventListener("click", () => confirm.close());
    form.addEventListener("submit", async (e) => {
      e.preventDefault();
      yes.disabled = true;
      let done = { text: "The node does not answer." };
      try {
        const answer = await fetch(form.getAttribute("action"), {
          method: "POST", body: new URLSearchParams(new FormData(form)), headers: { Accept: "application/json" }, redirect: "error",
        });
        done = answer.status === 401 ? { text: "You are not signed in any more." } : await answer.json();
      } catch {} // it stays with the text above
      if (done.ok) {
        $("notice").textContent = done.text;
        confirm.close();
      } else {
        $("outcome").textContent = done.text;
        yes.disabled = false;
      }
    });
  }

  $("refresh").hidden = true;
  live.hidden = pause.hidden = false;
  tick();
  open();
})();
