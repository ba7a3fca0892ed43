"""What widgets need from the page that shows them."""

import sys

import anywidget


class Companion(anywidget.AnyWidget):
    """Nothing to see: it gives the box it stands in what ipywidgets, plotly and JupyterLab leave out.

    Figures follow the box when it is shown or resized: plotly measures a widget before it is on the page, finds no
    width, takes 700 pixels, and listens to the window only. A slider says its name to a screen reader. Keys act on
    the control that has the focus: JupyterLab would take the arrows to move between cells, and "d d" to delete one.
    """

    _esm = """
    function render({ el }) {
      const seen = new ResizeObserver(() => {
        for (const slider of el.parentElement?.querySelectorAll(".widget-slider") ?? [])
          for (const handle of slider.querySelectorAll("[role=slider]"))
            handle.setAttribute("aria-label", slider.querySelector(".widget-label").textContent);
        window.dispatchEvent(new Event("resize"));
      });
      const start = () => {
        if (!el.isConnected) return requestAnimationFrame(start);
        // JupyterLab looks for this mark from the focused element up; its selectors match that element itself.
        el.parentElement.addEventListener("focusin", ({ target }) => (target.dataset.lmSuppressShortcuts = "true"));
        seen.observe(el.parentElement);
      };
      start();
      return () => seen.disconnect();
    }
    export default { render };
    """


def enable_in_colab() -> None:
    """Let Colab load the widgets that it does not ship; elsewhere do nothing."""
    if "google.colab" in sys.modules:
        sys.modules["google.colab"].output.enable_custom_widget_manager()
