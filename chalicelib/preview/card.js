// Dates and numbers as the card's language writes them, and texts that shrink before they are cut. Without scripts,
// the plain form stays, and long texts end with an ellipsis.
// A page that replaces cards dispatches the event `cards` on the document.
(() => {
  const SMALLEST = {title: 0.6, "logo-text": 0.7, primary: 0.45, header: 0.6};
  const SECONDS = {year: 31557600, month: 2629800, week: 604800, day: 86400, hour: 3600, minute: 60, second: 1};

  function dateText(shown, language) {
    const {date, time, zone, relative} = shown.dataset;
    if (relative) {
      const seconds = (new Date(shown.value) - Date.now()) / 1000;
      const [unit, size] = Object.entries(SECONDS).find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
      return new Intl.RelativeTimeFormat(language, {numeric: "auto"}).format(Math.round(seconds / size), unit);
    }
    const own = zone === "own";
    const moment = new Date(own ? shown.value.replace(/(Z|[+-]\d\d:\d\d)$/, "Z") : shown.value);
    const options = {dateStyle: date, timeStyle: time, timeZone: own ? "UTC" : zone};
    return new Intl.DateTimeFormat(language, options).format(moment);
  }

  function numberText(shown, language) {
    const {currency, style} = shown.dataset;
    const options = currency ? {style: "currency", currency}
      : style === "scientific" ? {notation: "scientific", maximumFractionDigits: 6}
        : style === "percent" ? {style, maximumFractionDigits: 0} : {style};
    return new Intl.NumberFormat(language, options).format(Number(shown.value));
  }

  function format(shown) {
    const {date, time, relative, currency, style} = shown.dataset;
    const language = shown.closest("[lang]")?.lang || undefined;
    try {
      if (currency || style) shown.textContent = numberText(shown, language);
      else if (date || time || relative) shown.textContent = dateText(shown, language);
    } catch {
      // an unknown currency, time zone or language: the plain form stays
    }
  }

  // Gives each field of a row its natural width if there is room, else shares the room, and shrinks what is too wide.
  function fitRow(row) {
    const fields = [...row.children];
    if (!fields.length || !row.clientWidth) return;
    const style = getComputedStyle(row);
    const smallest = SMALLEST[[...row.classList].find((name) => name in SMALLEST)] ?? 0.6;
    row.style.gridTemplateColumns = `repeat(${fields.length}, max-content)`;
    const widths = fields.map((field) => Math.ceil(field.getBoundingClientRect().width) + 1);
    let room = row.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)
      - (fields.length - 1) * (parseFloat(style.columnGap) || 0);
    const given = [...widths];
    let open = widths.map((_, index) => index);
    while (open.length) {
      const share = room / open.length;
      const fitting = open.filter((index) => widths[index] <= share);
      if (!fitting.length) {
        for (const index of open) given[index] = share;
        break;
      }
      for (const index of fitting) room -= widths[index];
      open = open.filter((index) => !fitting.includes(index));
    }
    row.style.gridTemplateColumns = fields.length === 1 ? "minmax(0, 1fr)"
      : given.map((width) => `minmax(0, ${width}fr)`).join(" ");
    if (fields.length > 1 && given.every((width, index) => width === widths[index])) {
      row.style.gridTemplateColumns = given.map(() => "minmax(0, max-content)").join(" ");
    }
    for (const field of fields) for (const text of field.querySelectorAll("dd")) shrink(text, smallest);
  }

  function shrink(text, smallest) {
    text.style.removeProperty("--fit");
    for (let fit = 1; text.scrollWidth > text.clientWidth && fit > smallest;) {
      fit = Math.max(smallest, Math.min(fit - 0.02, fit * text.clientWidth / text.scrollWidth));
      text.style.setProperty("--fit", fit.toFixed(3));
    }
  }

  function draw() {
    for (const shown of document.querySelectorAll("data")) format(shown);
    for (const row of document.querySelectorAll(".front .fields")) fitRow(row);
    for (const name of ["logo-text", "title"]) {
      for (const text of document.querySelectorAll(`.front .${name}`)) shrink(text, SMALLEST[name]);
    }
  }

  draw();
  document.addEventListener("cards", draw);
})();
