// Draws <div data-chart='{…}'>: lines, bars, points. ECharts is fetched only where a chart is on the page.
// The JSON is data, not ECharts options: {kind, x, series: [{name, values, low?, high?}], unit, stacked, log}. See docs/pages.md.
(() => {
  const genwright = (window.genwright = window.genwright || {});
  const drawn = new Map();
  let loading = null;

  const load = () => (loading ||= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.querySelector('meta[name="genwright-echarts"]').content;
    script.onload = () => resolve(window.echarts);
    script.onerror = () => reject(new Error("The chart library could not be loaded."));
    document.head.append(script);
  }));

  // Colours as the page has them now: custom properties are resolved by a probe, because light-dark() is computed late.
  const palette = () => {
    const probe = document.body.appendChild(document.createElement("span"));
    const colour = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
    const result = { text: colour("text"), muted: colour("muted"), line: colour("line"), surface: colour("surface"),
      series: ["link", "teal", "violet", "warn", "rose", "good"].map(colour), soft: colour("accent-soft"), good: colour("good"), warn: colour("warn"), bad: colour("bad") };
    probe.remove();
    return result;
  };

  const format = (value, unit) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 1 ? 2 : 4;
    if (unit === "$") return `$${value.toLocaleString("en", { maximumFractionDigits: Math.max(digits, 2) })}`;
    if (unit === "%") return `${(value * 100).toLocaleString("en", { maximumFractionDigits: 1 })} %`;
    return `${value.toLocaleString("en", { maximumFractionDigits: digits, notation: Math.abs(value) >= 1e5 ? "compact" : "standard" })}${unit ? ` ${unit}` : ""}`;
  };

  const frame = (spec, colours) => {
    const small = { color: colours.muted, fontSize: 11 };
    const lines = { lineStyle: { color: colours.line } };
    const many = spec.series.length > 1;
    return {
      animation: false, color: colours.series, aria: { enabled: false },
      textStyle: { color: colours.text, fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: 4, right: 14, top: many ? 34 : 12, bottom: spec.xname ? 24 : 4, containLabel: true },
      legend: many ? { top: 0, left: 0, icon: "roundRect", itemWidth: 10, itemHeight: 10, type: "scroll", textStyle: { color: colours.muted, fontSize: 12 }, pageTextStyle: small } : undefined,
      // Drawn on the canvas: no HTML from data, nothing for the page's security policy to block.
      tooltip: { trigger: spec.kind === "scatter" ? "item" : "axis", renderMode: "richText", confine: true, backgroundColor: colours.surface, borderColor: colours.line, textStyle: { color: colours.text, fontSize: 12 }, valueFormatter: (value) => format(Array.isArray(value) ? value[1] : value, spec.unit) },
      xAxis: { axisLabel: { ...small, hideOverlap: true }, axisLine: lines, axisTick: { show: false }, splitLine: { show: false }, name: spec.xname, nameLocation: "middle", nameGap: 26, nameTextStyle: small },
      yAxis: { type: spec.log ? "log" : "value", axisLabel: { ...small, formatter: (value) => format(value, spec.unit) }, splitLine: lines, axisLine: { show: false }, splitNumber: 4 },
    };
  };

  const kinds = {
    line(spec, colours) {
      const options = frame(spec, colours);
      const times = typeof spec.x?.[0] === "string" && /^\d{4}-\d\d-\d\dT/.test(spec.x[0]);
      Object.assign(options.xAxis, times ? { type: "time", axisLabel: { ...options.xAxis.axisLabel, formatter: { month: "{MMM}", day: "{MMM} {d}", hour: "{HH}:{mm}" } } } : { type: "category", data: spec.x, boundaryGap: false });
      options.series = spec.series.map((series) => ({
        type: "line", name: series.name, showSymbol: series.values.length < 2, symbolSize: 5, lineStyle: { width: 2 }, stack: spec.stacked ? "all" : undefined,
        areaStyle: spec.stacked || spec.series.length === 1 ? { opacity: 0.12 } : undefined, connectNulls: false,
        data: times ? series.values.map((value, at) => [spec.x[at], value]) : series.values,
      }));
      return options;
    },
    bar(spec, colours) {
      const options = frame(spec, colours);
      const names = { type: "category", data: spec.x }, labels = options.xAxis, values = options.yAxis;
      options.xAxis = { ...labels, ...names };
      if (spec.horizontal) { options.xAxis = { ...values, splitNumber: 3 }; options.yAxis = { ...labels, ...names, inverse: true }; }
      options.tooltip.axisPointer = { type: "shadow", shadowStyle: { color: colours.soft, opacity: 0.5 } };
      options.series = spec.series.map((series, at) => ({
        type: "bar", name: series.name, data: series.values, color: colours[series.tone], stack: spec.stacked ? "all" : undefined, barMaxWidth: 28,
        itemStyle: { borderRadius: spec.stacked ? 0 : spec.horizontal ? [0, 3, 3, 0] : [3, 3, 0, 0] }, markLine: spec.horizontal ? undefined : errorBars(series, spec.x, at, colours),
      }));
      return options;
    },
    scatter(spec, colours) {
      const options = frame(spec, colours);
      Object.assign(options.xAxis, { type: "value", scale: true, splitLine: { lineStyle: { color: colours.line } } });
      if (spec.xunit) options.xAxis.axisLabel.formatter = (value) => format(value, spec.xunit);
      options.yAxis.scale = true;
      options.series = spec.series.map((series) => series.line
        ? { type: "line", name: series.name, data: series.values, symbol: "circle", symbolSize: 5, showSymbol: !series.faint, lineStyle: { width: 2, type: series.faint ? "dashed" : "solid" } }
        : { type: "scatter", name: series.name, data: series.values, symbolSize: series.size || 7, itemStyle: { opacity: series.size ? 1 : 0.75 } });
      return options;
    },
  };

  // Whiskers from low[i] to high[i]. Only for a single series: with several, the bars stand beside the category's middle.
  const errorBars = (series, x, at, colours) => series.low && at === 0 ? {
    silent: true, symbol: "none", animation: false, label: { show: false }, lineStyle: { color: colours.text, type: "solid", width: 1.5 },
    data: series.values.map((_, row) => [{ coord: [x[row], series.low[row]] }, { coord: [x[row], series.high[row]] }]),
  } : undefined;

  // data-pick="id": a click on a point puts its height, in per cent, into that field and asks its form again.
  const pick = (id, value) => {
    const field = document.getElementById(id);
    if (!field || !Array.isArray(value)) return;
    field.value = Math.floor(value[1] * 1000) / 10;
    field.form.requestSubmit();
  };

  const draw = async (node) => {
    try {
      const echarts = await load();
      const spec = JSON.parse(node.dataset.chart);
      const chart = echarts.getInstanceByDom(node) || echarts.init(node, null, { renderer: "canvas" });
      chart.setOption(kinds[spec.kind](spec, palette()), true);
      if (!drawn.has(node)) {
        new ResizeObserver(() => chart.resize()).observe(node);
        if (node.dataset.pick) chart.on("click", (point) => pick(node.dataset.pick, point.value));
      }
      drawn.set(node, chart);
      node.dataset.drawn = "yes";
    } catch (error) {
      node.textContent = `This chart could not be drawn: ${error.message} Its numbers are in the table below.`;
    }
  };

  genwright.charts = (within = document) => {
    for (const [node, chart] of drawn) if (!node.isConnected) { chart.dispose(); drawn.delete(node); }
    within.querySelectorAll("[data-chart]:not([data-drawn])").forEach(draw);
  };
  document.addEventListener("genwright:theme", () => [...drawn.keys()].forEach(draw));
})();
