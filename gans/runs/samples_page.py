"""The page that shows the sample pictures of a run. Nothing here touches a file."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence


def samples_page(name: str, pictures: Sequence[tuple[int, str]]) -> str:
    """All of a run's sample pictures: one at a time under a slider, then one below the other.

    Args:
      name: of the run.
      pictures: step and address, relative to the page, of each; in order.
    """
    figures = "\n".join(
        f'<figure id="step{step}"><figcaption>step {step:,}</figcaption>'
        f'<img src="{_text(path)}" alt="samples of step {step}" loading="lazy"></figure>'
        for step, path in pictures
    )
    return _SAMPLES.format(
        name=_text(name),
        last=max(0, len(pictures) - 1),
        figures=figures,
        # A "<" would end the script early.
        pictures=json.dumps(list(pictures)).replace("<", "\\u003c"),
    )


def _text(value: str) -> str:
    """As HTML shows it; a byte of a file's name that is no UTF-8 becomes a question mark."""
    return html.escape(value.encode("utf-8", "replace").decode())


_SAMPLES = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}: samples</title>
<style>
  :root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }}
  body {{ max-width: 1200px; margin: 0 auto; padding: 1rem; }}
  img {{ max-width: 100%; background: #fff; }}
  figure {{ margin: 0 0 1.5rem; }}
  #film {{ position: sticky; top: 0; padding: .5rem 0; background: Canvas; }}
  #film input {{ width: min(40rem, 60%); vertical-align: middle; }}
  output {{ font-variant-numeric: tabular-nums; margin-left: .5rem; }}
  @media print {{ #film {{ display: none; }} }}
</style>
<h1>{name}</h1>
<div id="film">
  <button type="button">Play</button>
  <input type="range" min="0" max="{last}" value="{last}" aria-label="picture">
  <output></output>
</div>
<p><img id="shown" alt="the chosen picture"></p>
<h2>All pictures</h2>
{figures}
<script>
  const pictures = {pictures};
  const [slider, output, button, shown] =
    ["input", "output", "button", "#shown"].map(name => document.querySelector(name));
  let timer = null;
  function show() {{
    const [step, path] = pictures[slider.value];
    output.textContent = "step " + step.toLocaleString("en");
    shown.src = path;
  }}
  function stop() {{ clearInterval(timer); timer = null; button.textContent = "Play"; }}
  function play() {{
    if (+slider.value === pictures.length - 1) slider.value = 0;
    button.textContent = "Stop";
    timer = setInterval(() => {{
      slider.value = +slider.value + 1;
      show();
      if (+slider.value === pictures.length - 1) stop();
    }}, 300);
    show();
  }}
  slider.addEventListener("input", () => {{ stop(); show(); }});
  button.addEventListener("click", () => timer ? stop() : play());
  if (pictures.length) show();
</script>
</html>
"""
