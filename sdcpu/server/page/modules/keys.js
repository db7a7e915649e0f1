/** What keys do wherever the focus is. */

/** Ctrl+Enter draws, Esc asks whether to cancel, the arrows turn the gallery's pages. */
export function openKeys({ form, stage, painter, gallery }) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const command = event.ctrlKey || event.metaKey;
    if (event.key === "Enter" && command) {
      event.preventDefault();
      form.element.requestSubmit();
    } else if (event.key === "Escape" && event.target.tagName !== "SELECT") {
      if (painter.isOpen) painter.close();
      else stage.ask();
    } else if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && !command && !isTyping(event.target)) {
      gallery.turn(event.key === "ArrowRight" ? 1 : -1);
    }
  });
}

const isTyping = (element) => element.matches("input, textarea, select, canvas, video");
