// Dates and numbers as the person's language writes them; without scripts their plain form stays.
for (const shown of document.querySelectorAll("data")) {
  const {date, time, zone, currency, style} = shown.dataset;
  const language = document.documentElement.lang || undefined;
  try {
    if (currency || style) {
      const options = currency ? {style: "currency", currency}
        : style === "scientific" ? {notation: "scientific"} : {style};
      shown.textContent = new Intl.NumberFormat(language, options).format(Number(shown.value));
    } else if (date || time) {
      const own = zone === "own";
      const moment = new Date(own ? shown.value.replace(/(Z|[+-]\d\d:\d\d)$/, "Z") : shown.value);
      const options = {dateStyle: date, timeStyle: time, timeZone: own ? "UTC" : undefined};
      shown.textContent = new Intl.DateTimeFormat(language, options).format(moment);
    }
  } catch {
    // a currency or date that is none: it stays as the pass has it
  }
}
