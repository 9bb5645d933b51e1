"""How much a classifier is worth where its pictures are changed: by an attack, or by weather, cameras and codecs.

attacks      FGSM and PGD, on the pixels that the model takes
corruptions  the kinds of ImageNet-C
net          a classifier with its backbone as one torch net, for gradients
measure      the curves, through the serving path
sheet        pictures before and after
"""
