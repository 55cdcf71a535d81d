// Shows the value nearest to the pointer, and where there is more to the right. Without it the page lacks nothing else.
"use strict";
const value = document.getElementById("value");
const REACH = 40; // pixels

for (const drawing of document.querySelectorAll(".drawing")) {
  const marks = JSON.parse(drawing.dataset.marks);
  const ring = document.createElement("b");

  const hide = () => {
    value.hidden = true;
    ring.remove();
  };

  const show = (event) => {
    const box = drawing.getBoundingClientRect();
    let nearest = null;
    let least = REACH;
    for (const mark of marks) {
      const [x, y] = mark;
      const distance = Math.hypot(box.left + x * box.width - event.clientX, box.top + y * box.height - event.clientY);
      if (distance < least) [nearest, least] = [mark, distance];
    }
    if (nearest === null) return hide();
    const [x, y, text] = nearest;
    ring.style.left = `${100 * x}%`;
    ring.style.top = `${100 * y}%`;
    drawing.append(ring);
    value.textContent = text;
    value.hidden = false;
    const left = box.left + x * box.width + 12;
    const top = box.top + y * box.height - value.offsetHeight - 10;
    value.style.left = `${Math.max(4, Math.min(left, document.documentElement.clientWidth - value.offsetWidth - 4))}px`;
    value.style.top = `${Math.max(4, top)}px`;
  };

  drawing.addEventListener("pointermove", show);
  drawing.addEventListener("pointerdown", show);
  drawing.addEventListener("pointerleave", hide);
}
// Tables and drawings that are wider than their place say so, until they are scrolled to their end.
for (const hint of document.querySelectorAll(".more")) {
  const place = hint.previousElementSibling;
  const say = () => {
    hint.hidden = place.scrollWidth - place.clientWidth - place.scrollLeft < 2;
  };
  place.addEventListener("scroll", say, { passive: true });
  new ResizeObserver(say).observe(place);
}
addEventListener("scroll", () => { value.hidden = true; }, { passive: true });
