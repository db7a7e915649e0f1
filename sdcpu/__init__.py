"""Pictures from text on an ordinary computer: quantised models, little memory, no graphics card.

>>> import sdcpu
>>> image = sdcpu.generate("a red circle on a blue background", model="demo")  # doctest: +SKIP
>>> image.save("circle.png")  # doctest: +SKIP
"""
