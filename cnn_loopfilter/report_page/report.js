'use strict';
// Each figure shows one picture left of a line and another right of it; the
// line follows a range input that covers the pictures, so that mouse, touch
// and arrow keys move it.
for (const figure of document.querySelectorAll('.compare')) {
  const [left, right, zoom] = figure.querySelectorAll('select');
  const stage = figure.querySelector('.stage');
  const line = figure.querySelector('.line');
  const range = figure.querySelector('input');
  const sides = figure.querySelectorAll('.side');
  const images = [...figure.querySelectorAll('img')];

  const show = () => {
    const scale = Number(zoom.value);
    const width = figure.dataset.width * scale;
    const height = figure.dataset.height * scale;
    stage.style.width = `${width}px`;
    stage.style.height = `${height}px`;
    for (const image of images) {
      const state = image.dataset.state;
      image.style.width = `${width}px`;
      image.style.height = `${height}px`;
      image.classList.toggle(
          'shown', state === left.value || state === right.value);
      // The right picture lies on top and begins at the line.
      const onTop = state === right.value;
      image.style.zIndex = onTop ? 1 : 0;
      image.style.clipPath =
          onTop && left.value !== right.value ?
              `inset(0 0 0 ${range.value}%)` : 'none';
    }
    sides[0].textContent = left.value;
    sides[1].textContent = right.value;
    line.style.left = `${range.value}%`;
    line.style.zIndex = 2;
    range.style.zIndex = 3;
    range.setAttribute(
        'aria-valuetext',
        `${left.value} up to ${range.value} percent, then ${right.value}`);
  };

  for (const control of [left, right, zoom, range]) {
    control.addEventListener('input', show);
  }
  show();
}
