// Comforts of the pages, none of which they need: colours, copying, and polling that does not disturb.
(function () {
  "use strict";
  var root = document.documentElement;
  var dark = window.matchMedia("(prefers-color-scheme: dark)");

  function kept() {
    try { return localStorage.getItem("dapple-colours"); } catch (error) { return null; }
  }

  function keep(colours) {
    try { localStorage.setItem("dapple-colours", colours); } catch (error) { /* It holds for this page. */ }
  }

  function isDark() {
    return (root.dataset.colours || (dark.matches ? "dark" : "light")) === "dark";
  }

  if (kept() === "dark" || kept() === "light") root.dataset.colours = kept();

  function showSwitch() {
    var button = document.getElementById("colours");
    if (!button) return;
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
    button.hidden = false;
  }

  function showCopies(within) {
    if (!navigator.clipboard) return;
    within.querySelectorAll("button[data-copy]").forEach(function (button) { button.hidden = false; });
  }

  function say(text) {
    var said = document.getElementById("said");
    if (said && said.textContent !== text) said.textContent = text;
  }

  document.addEventListener("click", function (event) {
    var button = event.target.closest("button");
    if (!button) return;
    if (button.id === "colours") {
      root.dataset.colours = isDark() ? "light" : "dark";
      keep(root.dataset.colours);
      showSwitch();
    } else if (button.dataset.copy !== undefined) {
      navigator.clipboard.writeText(button.dataset.copy).then(function () {
        var before = button.innerHTML;
        button.textContent = "Copied";
        say("Copied");
        setTimeout(function () { button.innerHTML = before; }, 1500);
      });
    }
  });

  // A part that refreshes itself waits while somebody types or chooses in it, or has marked text.
  document.addEventListener("htmx:beforeRequest", function (event) {
    var part = event.target;
    if (!part.matches || !part.matches("[hx-trigger^='every']")) return;
    var focus = document.activeElement;
    var busy = focus && part.contains(focus) && focus.matches("input, select, textarea");
    var marked = String(document.getSelection()) !== "" && part.contains(document.getSelection().anchorNode);
    if (busy || marked) event.preventDefault();
  });

  document.addEventListener("htmx:afterSettle", function () {
    showCopies(document);
    var summary = document.querySelector("[data-said]");
    if (summary) say(summary.textContent);
  });

  document.addEventListener("DOMContentLoaded", function () {
    showSwitch();
    showCopies(document);
    dark.addEventListener("change", showSwitch);
  });
})();
